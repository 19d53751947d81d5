import numpy as np

from pipelines.world.textures import background, coloured, fractal, palette, sprite


def test_noise_fills_the_range_from_0_to_1():
    field = fractal(np.random.default_rng(1), 40, 30)
    assert (field.shape, field.dtype, field.min(), field.max()) == ((30, 40), np.float32, 0.0, 1.0)


def test_the_ends_of_a_palette_colour_the_ends_of_a_field():
    colours = np.array([[1, 2, 3], [201, 202, 203]], np.float32)
    picture = coloured(np.array([[0.0, 1.0]], np.float32), colours)
    assert np.asarray(picture).tolist() == [[[1, 2, 3], [201, 202, 203]]]


def test_palettes_run_from_dark_to_light():
    for seed in range(20):
        brightest = palette(np.random.default_rng(seed)).max(axis=1)
        assert (np.diff(brightest) > 0).all() and brightest[-1] <= 255


def test_the_same_generator_draws_the_same_scene_and_thing():
    for draw in (lambda rng: background(rng, 120, 90), sprite):
        one, again, other = (draw(np.random.default_rng(seed)).tobytes() for seed in (3, 3, 4))
        assert one == again != other


def test_every_kind_of_scene_is_rich_in_shades():
    for seed in range(15):
        picture = background(np.random.default_rng(seed), 120, 90)
        assert picture.size == (120, 90) and picture.mode == "RGB"
        assert np.asarray(picture.convert("L")).std() > 8


def test_a_thing_is_opaque_inside_and_clear_around():
    for seed in range(15):
        alpha = np.asarray(sprite(np.random.default_rng(seed)).getchannel("A"))
        assert alpha[0, 0] == 0 and alpha[36, 36] == 255
