"""What makes two experiments the same one: hash, variant and row number."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ablation.config.experiment import FIELDS, ExperimentConfig, config_hash, identity, variant_settings
from ablation.config.methods import DECLARATIONS
from ablation.config.rows import ROWS, find_row, row_config
from ablation.config.settings import SHAPE_OVERRIDES

# With seed 123. Results of earlier versions are found again by these values: they must not change.
HASHES = {
    1: "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
    2: "df03e150c0217f5a51bcca4d86e05e3a672e0f3b66452e4aea618408332d2ea3",
    3: "eb957dfd6e76dfedc899c11fc73fbca358c3b34ea3e77d62305e7a737eeec1ef",
    4: "fc15bd9cb9e99cb7c00fd3a040ee364340b723d5f3dfc69906fb011a1db54891",
    5: "49f9d8ba817e3c19b41a77d3a9f19d7913fe54df37ee765eb024f636f42d4829",
    6: "ea9918a2ed7c19cbb389e85466da2c311b08fc26c3866e73425afb5f77831b22",
    7: "56c9505230a6469b4567e4568bc6c25c7c8fa5486f0c70b340ad47b4c884466b",
    8: "e7797398c2ae78963bf8cc19d2d8afd970b2ea4f34e4112eb0d25df1cd6babac",
    9: "a7cd17a1036bd15910be7ba7f5b219a2e09a4f7fd7d93d1ceb173496380316ba",
    10: "d62a3faabeefed340c4a3e9f591179a73cee618943805aec8a3bbc4183bc0609",
    11: "ef904a9ca087654979dd0a4575be7afca4493f969c21ae833258b52f4a61c683",
    12: "62d57be212fbb1550062426135e02a6c704c6486b00a8acded2f19c8b5dab0c4",
    13: "b3efcddf9b927b8b8e737c5e5a5a80111c8c050c2c211d71c1b63fcee1c259a5",
    14: "47dfd6984c766df7cbd8d16cbc36d82153b3636759de6f4235067af85c54fdbf",
    15: "941a9564d87f69c3dc605f78d00ab7060cbd1bf053c5ee6cc70939ba7d7a1863",
    16: "56276633e67e994fa49314e9140d7dbbb4c16083148b8d9949e987f9489b8183",
    17: "5ac180bf0009f087da99d02e6b2459b3268fdc30bcf2d58436553d31947a5697",
    18: "945064db113f4cee8faec21ce288a746abba2c8b4b9efbc35d97e716ae9c853b",
    19: "b22a27c05ba341ae2b670ad0b95f677cbb1d6acfdc45d7236ead726477ac9ee4",
}
# These are newer: a method's settings are all in them, so that they last whatever its defaults are by then.
METHOD_HASHES = {
    20: "8384f78076fd1dac999b0f6546e92b974b8ed560c560b1574a952bbf41dd407a",
    21: "de0579af5ad0f0682e8ace08665f388e92e4bef129b6f012f083d773fa4a7ba2",
    22: "d48cc97b247369a091cdc99f643db40273a889c434dc8bdf314e8f9a73b192be",
    23: "3c2021ae971fece6e23b062ead47609cd9a19e9898649a74d40ce244eec7aaa0",
    24: "a89b8caa26e509b0cd7d3836bec483d8b52cb72430a41983dc126716d5848fd4",
    25: "86381dc0f9c3ab751888c5f249cd62ee50d194bc9ff2c721d51d55ccf1279017",
    26: "9781dc439a3badb70194f2c5482f902fae45aa3a91b1b6d753fa63d5fc482fbf",
    27: "50f03e6be24bd57296e0e0103d797758e6d6e16fd74d7b46952effc055ae1446",
    28: "b5948a265215649c2dba006ffce5fc31b5d44d0a3248f5230dfbd8c1288c07b9",
    29: "eb168d7c3e8fb1d55d229181a6a8319bc3556272a4166ff6c3f408d14454ebfc",
    30: "8c9423e0f9b243e204c789531b47830f97cb587ff69fc29800c4417c15a1bb70",
    31: "182511dfb1c3bfc1d047033368d546554f3519b1bdc0a545f29d124471264b6c",
    32: "1a981bb15c4bd6cbeab3537393d853633b6269a7469d4da15e096e61ae34f48a",
    33: "1af4112a55620e2f044676a84eea472fd5a973dc4ffaab690bde0203e77ae311",
}
PADDING_HASHES = {
    34: "2bc7e0e806c20800bb6c9706e1af5b21fb3a1076bb51008e3abd137c76858296",
    35: "425cce6eb56b78854bf3d195687f322418e722dcc4a9a7fc2f20af5e941ae3b7",
    36: "7f7e7327a5426167b2da5e1d8cd8125367f719df2506160c72357c3a591337b3",
    37: "6c2cfc4d71c97f0eca3e4e2efba74db4e1482d86bc6feddf68a32a234b303f16",
    38: "9d18261221ec5b7ac6cf8bf3f3fec2b35cb08e13c8940df2b7d168df5f6c5d09",
    39: "801c58edec0e081ea522b39117130a2db2e4b2b6188457576b3cae2dd6fc1063",
}
DEMO_HASHES = {
    1: "23ffc094d34728516bc8afa1bcd9131a21e0593e6fa40dcf832f84804936f3af",
    2: "343a554b651e34c001002fdd957e7250466888e88a8b408c093b6dddb2f27c5f",
    3: "81f7bd9b14cae4ff182f6d6d9c2f129a6a45a2a2a80907e8180daecc86f51cd5",
    4: "8c3abd4eecd50ec518220855a936c517221ac866ce25c1e91cb3d775c826cd7c",
    5: "33c89dbd4ff185da41007a45539573084b4c342c107fd638583e2c21b0b0cbff",
    6: "bd309c20f37488c86e7a451b5e7490408a06bd132f0753047985dcb69fdd613e",
    7: "c00178e277c355f9ab6025fd70cad6408290869e982536caef5cc48fa3a32755",
    8: "c7b88f0b9bb0af3ae853235ea707c7b233077b825618891db7e0920a69c411cf",
    9: "d8dfe424ccaa88b6cb1b69edc18e0a54c5c4e4569d1428f1fbda97176a0ff0ba",
    10: "5cac87ceef3a07899d60e69ac84c8f46555b6c3365f4e18a86e351cfd32dfd06",
    11: "0d87b8cefe21423237d2b5997ef4b28674368fa963323bb3abc9351b41ee5c9d",
    12: "48f06316094985867899a559798b85b7d6f3049ad5a36a16132fc31ce40038e9",
    13: "49f866bcbb10a3861c7cd88c2bfa349d5ec1a41268d8297d8dc009e7b3c8abdc",
    14: "713cbd42bea2b53a8149910d7d7b79d6f6ee44fb17f96bf05e27832d209e2b34",
    15: "5c0b5c7727972b85267bfb7bdb539615a904faf60dc7c9e90dbb7baa2f9a3784",
    16: "2a48f1ec10b33bff47ba6a13cc0229654a0de0d9a6c7149cfe472f7fb2f58910",
    17: "8f1bdaa233e863b62fa43f73ee8c35379b87d22940a505eb4a949cfe912309fb",
    18: "36d5225163d95992db56032154d9af7791193f023276d4cf1c20d6fd14571d39",
    19: "d52a24e291886670c6fa614c0993deafaf89123c9dbb1401860d0fedffa6c718",
}
FOREIGN = {"weights_digest": "a" * 64}, {"data_digest": "b" * 64}, {"weights_digest": "a" * 64, "data_digest": "b" * 64}


def test_hashes_of_the_rows_are_those_of_earlier_results() -> None:
    assert {row: config_hash(row_config(row)) for row in ROWS} == HASHES | METHOD_HASHES | PADDING_HASHES
    assert {row: config_hash(row_config(row, demo=True)) for row in DEMO_HASHES} == DEMO_HASHES


def test_what_a_method_ran_with_is_in_the_hash_whatever_its_default() -> None:
    """Of a method's own rate, and of one typed that is the published rows' usual one."""
    config = ExperimentConfig(method="ia3")
    assert variant_settings(config) == {
        "method": "ia3", "learning_rate": 3e-3, "decayed": "classifier", "from_block": 1,
    }  # fmt: skip
    usual = ExperimentConfig(method="ia3", learning_rate=5e-5)
    assert variant_settings(usual)["learning_rate"] == 5e-5
    assert config_hash(usual) != config_hash(config)
    assert ExperimentConfig(**identity(usual)) == usual


@pytest.mark.parametrize("row", ROWS)
def test_other_weights_or_data_make_a_variant_of_its_own(row: int) -> None:
    config = row_config(row, seed=7)
    hashes = {config_hash(config, foreign) for foreign in FOREIGN}
    assert len(hashes | {config_hash(config)}) == 4
    for foreign in FOREIGN:
        assert find_row(ROWS, config, foreign) is None
        assert variant_settings(config, foreign) == {**variant_settings(config), **foreign}


def other_value(field: dataclasses.Field[Any]) -> Any:
    if field.name == "labels":
        return "yes,no"
    special = {"model_size": "gpt2-xl (1558M)", "context_length": 50, "weights": "random", "weights_path": __file__}
    special |= {"method": "ia3", "from_block": 2, "decayed": "everything", "lora_targets": "query",
                "lora_scaling": "alpha", "lora_init": "normal_rank", "adapter_after": "feed_forward",
                "padding_side": "left", "truncation_side": "left"}  # fmt: skip
    if field.name == "lora_head":
        return "frozen"
    if field.name in special:
        return special[field.name]
    if isinstance(field.default, bool):
        return not field.default
    choices = {"trainable_layers": "all", "trainable_token_pos": "first", "precision": "bf16", "device": "cpu"}
    if isinstance(field.default, str):
        return choices.get(field.name, "naive" if field.name == "execution" else "elsewhere")
    return 24 if field.default is None else field.default + 1  # type: ignore[operator]


@pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS.keys())
def test_hash_covers_what_defines_the_experiment_and_nothing_else(field: dataclasses.Field[Any]) -> None:
    base: dict[str, Any] = {}
    if field.name in SHAPE_OVERRIDES:
        base = {"weights": "random"}
    if having := [name for name, method in DECLARATIONS.items() if field.name in (method.defaults or {})]:
        base = {"method": having[0]} if field.name != "learning_rate" else {}
    if field.name == "train_final_norm":
        base = {"method": "norms"}
    if field.name == "lora_head":
        base["lora_targets"] = "head"
    if field.name in ("lora_rank", "lora_alpha"):
        base = {"trainable_layers": "lora"}
    if field.name == "shift_positions":
        base = {"padding_side": "left"}
    if field.name == "no_padding":
        base = {"batch_size": 1}
    if field.name in ("labels", "text_column", "label_column"):
        base = {"data_file": "own.csv"}
    if field.name in (files := ("train_file", "validation_file", "test_file")):
        base = dict.fromkeys(files, "own.csv")
    changed = ExperimentConfig(**{**base, field.name: other_value(field)})
    same_hash = config_hash(changed) == config_hash(ExperimentConfig(**base))
    assert same_hash == (not field.metadata["identity"])


def test_hash_ignores_settings_without_effect() -> None:
    assert config_hash(ExperimentConfig(lora_rank=4)) == config_hash(ExperimentConfig())
    assert config_hash(ExperimentConfig(order_seed=123)) == config_hash(ExperimentConfig())
    assert config_hash(ExperimentConfig(order_seed=5)) != config_hash(ExperimentConfig())


@pytest.mark.parametrize(
    ("settings", "same"),
    [
        ({"no_padding": True, "batch_size": 1, "padding_side": "left", "truncation_side": "left",
          "mask_padding": True, "shift_positions": True}, {"no_padding": True, "batch_size": 1}),
        ({"shift_positions": True}, {}),
        ({"mask_padding": True, "trainable_token_pos": "flexible"}, {"trainable_token_pos": "flexible"}),
        ({"mask_padding": True, "trainable_token_pos": "first"}, {"trainable_token_pos": "first"}),
        ({"padding_side": "left", "trainable_token_pos": "flexible"}, {"padding_side": "left"}),
    ],
)  # fmt: skip
def test_padding_that_changes_nothing_is_no_other_experiment(settings: dict[str, Any], same: dict[str, Any]) -> None:
    assert config_hash(ExperimentConfig(**settings)) == config_hash(ExperimentConfig(**same))


@pytest.mark.parametrize(
    "settings",
    [
        {"mask_padding": True, "trainable_token_pos": "flexible", "disable_causal_mask": True},
        {"padding_side": "left", "mask_padding": True, "trainable_token_pos": "first"},
        {"padding_side": "left", "average_embeddings": True, "trainable_token_pos": "flexible"},
    ],
)
def test_where_padding_can_be_seen_it_counts(settings: dict[str, Any]) -> None:
    assert set(variant_settings(ExperimentConfig(**settings))) == set(settings)


def test_row_number_ignores_seeds_and_paths_only() -> None:
    assert find_row(ROWS, row_config(14, seed=7, results_dir="elsewhere", device="cpu")) == 14
    assert find_row(ROWS, row_config(14, num_epochs=4)) is None
