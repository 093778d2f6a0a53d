"""Who imports whom: the arrows of docs/ARCHITECTURE.md and no other, and few floors inside each member."""

import pytest
from size import MEMBERS, imported_packages, longest_chain

#: From the bottom up: a member imports none that stands below it here.
ALLOWED = {
    "cifar_models": set(),
    "cifar_data": set(),
    "cifar_explain": set(),
    "cifar_train": {"cifar_models", "cifar_data", "cifar_explain"},
    "cifar_space": {"cifar_models", "cifar_explain"},
}
#: Packages that the app must not ship.
TRAINING = {"lightning", "pytorch_lightning", "pl_bolts", "albumentations"}


@pytest.mark.parametrize("member", ALLOWED)
def test_member_imports_what_is_allowed_and_has_few_floors(member):
    imported = imported_packages(*MEMBERS[member].rglob("*.py"))
    assert MEMBERS.keys() == ALLOWED.keys()
    assert imported & ALLOWED.keys() - {member} <= ALLOWED[member]
    assert member in ("cifar_data", "cifar_train") or not imported & TRAINING
    chain = longest_chain(MEMBERS[member])
    assert len(chain) <= 6, " > ".join(chain)


def test_floors_count_modules_but_neither_folders_nor_type_checking(tmp_path):
    member = tmp_path / "member"
    files = {
        "__init__": "from member.top import x",
        "top": "from member.room import y\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import member.far",
        "room/__init__": "from member.room.middle import y",
        "room/middle": "try:\n    from member import low\nexcept ImportError:\n    pass",
        "low": "def f():\n    import member.far",
        "far": "import member.low",
    }
    (member / "room").mkdir(parents=True)
    for name, text in files.items():
        (member / f"{name}.py").write_text(text)
    assert longest_chain(member) == ["member.top", "member.room.middle", "member.low"]
