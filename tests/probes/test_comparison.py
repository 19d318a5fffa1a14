import json

import numpy as np
import pytest
import torch

from rwsstore.corruptions import CORRUPTIONS
from rwsstore.probes import compare_signatures, gather_signatures, summarize
from rwsstore.probes.groups import contrast_groups
from tests.probes.making import made_up, made_up_gains, model, patch, signatures

ALL = tuple(CORRUPTIONS)


def test_layers_are_summed_up_over_the_patches() -> None:
    similarity = compare_signatures(model(), signatures("fog", "snow", "contrast"))
    found = summarize(similarity, seed=5, relabelings=50)
    names = ["fog", "snow", "contrast"]
    for place, layer in enumerate(found.layers):
        assert layer.name == similarity.layers[place]
        assert layer.norm == pytest.approx(float(similarity.norms[:, place].mean()))
        assert layer.relative_norm == pytest.approx(
            float(similarity.relative_norms[:, place].mean())
        )
        assert layer.cosine == pytest.approx(float(similarity.mean_layer_cosine[place]))
        assert layer.groups == contrast_groups(
            similarity.layer_cosine[place], names, names, symmetric=True, seed=5, relabelings=50
        )
    assert sum(layer.energy for layer in found.layers) == pytest.approx(1)
    assert found.groups is not None
    assert found.groups.within_pairs == 1
    assert (found.gains, found.gain_groups, found.gain_correlation) == (None, None, None)


def test_as_json() -> None:
    similarity = made_up(ALL)
    gains = made_up_gains(similarity, ALL[:7])
    found = summarize(similarity, gains, relabelings=20)
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert [one["name"] for one in document["patches"]] == list(ALL)
    assert document["patches"][4]["group"] == "blur"
    assert document["patches"][4]["layer_norms"] == similarity.norms[4].tolist()
    assert document["cosine"] == similarity.cosine.tolist()
    assert document["layers"][1]["cosines"] == similarity.layer_cosine[1].tolist()
    assert document["gains"]["corruptions"] == list(ALL[:7])
    assert document["gains"]["gains"] == gains.gains.tolist()
    assert document["gains"]["costs"] == gains.costs.tolist()
    assert document["groups"]["within_pairs"] == 36
    assert document["gains"]["groups"]["appear"] in (True, False)


def test_what_is_not_defined_is_null() -> None:
    given = {"fog": patch("fog"), "snow": patch("snow", seed=1, layers=1)}
    similarity = compare_signatures(model(), gather_signatures(model(), given))
    document = summarize(similarity).to_dict()
    assert document["layers"][1]["cosine"] is None
    assert document["layers"][1]["cosines"][0] == [1.0, None]
    assert document["groups"] is None
    assert document["gains"] is None
    json.dumps(document, allow_nan=False)


def test_gains_are_correlated_with_cosines_pair_by_pair() -> None:
    similarity = made_up(("fog", "snow", "contrast", "pixelate"))
    gains = made_up_gains(similarity, ("pixelate", "fog", "gaussian_noise", "snow"))
    found = summarize(similarity, gains, relabelings=1)
    columns = {"fog": 1, "snow": 3, "pixelate": 0}
    names = [one.name for one in similarity.signatures]
    pairs = [
        (float(similarity.cosine[i, j]), float(gains.gains[i, columns[other]]))
        for i, one in enumerate(names)
        for j, other in enumerate(names)
        if one != other and other in columns
    ]
    assert len(pairs) == 9
    assert found.gain_correlation == pytest.approx(np.corrcoef(np.array(pairs).T)[0, 1])


def test_too_few_pairs_have_no_correlation() -> None:
    similarity = made_up(("fog", "snow"))
    found = summarize(similarity, made_up_gains(similarity, ("fog", "snow")))
    assert found.gain_correlation is None
    flat = made_up(("fog", "snow", "frost"))
    flat.cosine.copy_(torch.eye(3))
    assert summarize(flat, made_up_gains(flat, ("fog", "snow"))).gain_correlation is None
