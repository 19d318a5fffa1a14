"""The part of the benchmark that goes over REST: services as processes, and the load on them."""
