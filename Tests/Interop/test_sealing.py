"""Sealing as SPEC.md section 13 has it: the published vector of HPKE, and the contract's own, which the Swift tests open."""

import pytest

pytest.importorskip("cryptography", reason="the Python package 'cryptography' is not installed")

import sealing  # noqa: E402

from cryptography.exceptions import InvalidTag  # noqa: E402
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey  # noqa: E402

VAULT = bytes(range(32))
HEADER = bytes.fromhex("0988776655443322111001220861637469766974792880e5fee9c8b6a7f518")
FRAME = bytes.fromhex("""
    019574093a4c9dece1358072d6365880d1aeea329adf9121383851ed21a28e3b75e965d0d2cd16625436f8c764c1c084
    45e371eb9cfc96a0a61f564b7bc02827648f24ada32035274ea6195e3821a8577bfa""")


def vault_public():
    return sealing.raw(X25519PrivateKey.from_private_bytes(VAULT).public_key())


def test_the_published_vector_of_the_suite_is_met():
    # RFC 9180's test vectors, mode base, KEM 0x0020, KDF 0x0001, AEAD 0x0002.
    private = X25519PrivateKey.from_private_bytes(bytes.fromhex("497b4502664cfea5d5af0b39934dac72242a74f8480451e1aee7d6a53320333d"))
    enc = bytes.fromhex("6c93e09869df3402d7bf231bf540fadd35cd56be14f97178f0954db94b7fc256")
    agreed = private.exchange(X25519PublicKey.from_public_bytes(enc))
    secret = sealing.Secret(agreed, enc, sealing.raw(private.public_key()), bytes.fromhex("4f6465206f6e2061204772656369616e2055726e"))
    assert secret.exporter.hex() == "86017151bbff6a1940e8abae2ac9e0e7032e33df1eaaecc02ca6259b130d62df"
    assert secret.export(b"TestContext", 32).hex() == "7c5ded445732c14fe09727d29b4251c0fd38455fe8440571e687f0886aac94d2"


def test_the_contracts_vector_is_met():
    sealer = sealing.Sealer(vault_public(), "sluice.example/governance", "agent-7", ephemeral=bytes(range(32, 64)))
    assert sealer.seal(b"a batch of events", 0x1122334455667788, 1, HEADER) == FRAME


def test_what_was_sealed_opens_for_its_agent_alone_and_unchanged_alone():
    opener = sealing.Opener("sluice.example/governance", VAULT)
    assert opener.open(FRAME, "agent-7", 0x1122334455667788, 1, HEADER) == b"a batch of events"
    with pytest.raises(AssertionError, match="somebody else"):
        opener.open(FRAME, "agent-8", 0x1122334455667788, 1, HEADER)
    for changed in (dict(sequence=2), dict(stream=1), dict(header=HEADER + b"\0"), dict(frame=FRAME[:-1] + bytes([FRAME[-1] ^ 1]))):
        asked = dict(frame=FRAME, agent="agent-7", stream=0x1122334455667788, sequence=1, header=HEADER) | changed
        with pytest.raises(InvalidTag):
            opener.open(**asked)
