"""Noise: four ways in which a sensor falsifies single values."""

__all__ = ["gaussian_noise", "impulse_noise", "shot_noise", "speckle_noise"]

from rwsstore.corruptions.noise.gaussian import gaussian_noise
from rwsstore.corruptions.noise.impulse import impulse_noise
from rwsstore.corruptions.noise.shot import shot_noise
from rwsstore.corruptions.noise.speckle import speckle_noise
