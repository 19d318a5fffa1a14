"""Blur: five ways in which optics and motion mix neighbouring pixels."""

__all__ = ["defocus_blur", "gaussian_blur", "glass_blur", "motion_blur", "zoom_blur"]

from rwsstore.corruptions.blur.defocus import defocus_blur
from rwsstore.corruptions.blur.gaussian import gaussian_blur
from rwsstore.corruptions.blur.glass import glass_blur
from rwsstore.corruptions.blur.motion import motion_blur
from rwsstore.corruptions.blur.zoom import zoom_blur
