"""How requests from outside are received, as config.yml says."""

from datetime import timedelta

import pytest

from da_agent.domain.config.configurations import parse
from da_agent.errors import Invalid


def mistakes(text: str) -> tuple[str, ...]:
    with pytest.raises(Invalid) as refused:
        parse(text.encode())
    return refused.value.mistakes


def test_proxies_are_trusted_by_address_or_network() -> None:
    text = b"da agent: {trusted proxies: [10.0.0.7/8, '::1'], strict transport security: 2d}\nuse https: true\n"
    text += b"behind https load balancer: true\nexternal hostname: a.example\nmaximum content length: 5000\n"
    found = parse(text).settings.visitors
    assert found.proxies == ("10.0.0.0/8", "::1/128")
    assert (found.use_https, found.behind_balancer, found.host, found.body) == (True, True, "a.example", 5000)
    assert found.hsts == timedelta(days=2)
    assert parse(b"external hostname: 'a; Include /x'\n").settings.visitors.host is None


@pytest.mark.parametrize("value", ["0.0.0.0/0", "::/0", "balancer", "7", "[10.0.0.1, {a: b}]", "10.0.0.0/33"])
def test_what_is_no_address_is_not_trusted(value: str) -> None:
    (mistake,) = mistakes(f"da agent:\n  trusted proxies: {value}\n")
    assert mistake.startswith('config.yml line 2: "da agent.trusted proxies" must be the IP address of a proxy')


def test_a_balancer_without_an_address_is_a_mistake() -> None:
    (mistake,) = mistakes("behind https load balancer: true\n")
    assert mistake == (
        'config.yml line 1: "behind https load balancer" needs the addresses of the balancer: add them to the section'
        ' "da agent", such as "trusted proxies: [10.0.0.0/8]"'
    )
