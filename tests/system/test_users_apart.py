"""What one user asks for beside another: no one's requests fail because of someone else's."""

import re
import signal

import pytest
from support import dns_server, servers, socks
from support.deadline import wait_until

USERS = [{"name": name, "token": f"{name}-has-a-token-of-thirty-two-characters"}
         for name in ("greedy", "honest")]


def dead_requests(proxy, count, host, port):
    """Requests that nobody answers, all under way."""
    made = []
    for number in range(count):
        connection = socks.open_connection(proxy)
        socks.negotiate(connection)
        connection.sendall(socks.request_bytes(host.format(number), port))
        made.append(connection)
    return made


@pytest.fixture
def two_users(new_pair, dns):
    """The proxies of two users of one server, of which each place is taken for two seconds."""
    first = new_pair(server={"users": USERS, "threads": 1, "timeouts": {"connect": "2s"},
                             "limits": {"dials": 32, "lookups": 32},
                             "dns": {"servers": [dns.address], "timeout": "2s"}},
                     client={"auth": {"user": "greedy", "token": USERS[0]["token"]}}).start()
    second = new_pair(client={"server": first.server.address,
                              "auth": {"user": "honest", "token": USERS[1]["token"]}})
    second.start_client()
    wait_until(lambda: first.server.lines("link from honest@.* is up"), 10,
               first.server.last_words)
    return first, second


@pytest.mark.parametrize("dead, places", [("127.0.0.1", "dials"), ("dead{}.test", "look-ups")])
def test_dead_targets_of_one_user_fail_nothing_of_another(two_users, target, dns, dead, places):
    """300 of them are ten times what has a place: in one line all that comes later fails."""
    first, second = two_users
    for number in range(300):
        dns.records[f"dead{number}.test"] = dns_server.Answer(silent=True)
    port = target(servers.echo).port
    with servers.unanswering() as silent:
        waiting = dead_requests(first.socks, 300, dead, silent)

        def told():
            first.server.send(signal.SIGUSR1)
            return any(int(count) > 100 for line in first.server.lines(f"{places} waiting")
                       for count in re.findall(rf"(\d+) {places} waiting", line))

        wait_until(told, 10, first.server.last_words)
        for number in range(20):
            name = f"honest{number}.test"
            dns.records[name] = ["127.0.0.1"]
            assert socks.rep_for(second.socks, name, port) == socks.SUCCEEDED, number
            assert socks.rep_for(second.socks, "127.0.0.1", port) == socks.SUCCEEDED, number
        assert len(first.server.lines("wait for a place now")) == 1
        for connection in waiting:
            connection.close()
