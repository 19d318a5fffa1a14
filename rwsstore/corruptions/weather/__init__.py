"""Weather: five things that come between the camera and the scene."""

__all__ = ["brightness", "fog", "frost", "snow", "spatter"]

from rwsstore.corruptions.weather.brightness import brightness
from rwsstore.corruptions.weather.fog import fog
from rwsstore.corruptions.weather.frost import frost
from rwsstore.corruptions.weather.snow import snow
from rwsstore.corruptions.weather.spatter import spatter
