"""The model behind the routes: inference, patch sets, their journal. No HTTP in here."""
