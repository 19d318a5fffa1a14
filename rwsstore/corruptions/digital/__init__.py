"""Digital: five things that processing and storage do to an image."""

__all__ = ["contrast", "elastic_transform", "jpeg_compression", "pixelate", "saturate"]

from rwsstore.corruptions.digital.contrast import contrast
from rwsstore.corruptions.digital.elastic import elastic_transform
from rwsstore.corruptions.digital.jpeg import jpeg_compression
from rwsstore.corruptions.digital.pixelate import pixelate
from rwsstore.corruptions.digital.saturate import saturate
