from training.models.networks import inflate as inflate
from training.models.networks import r2d as r2d
from training.models.networks import r2plus1d as r2plus1d
from training.models.networks import r3d as r3d
