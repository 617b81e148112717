"""On which terms a user may come (users[].expires, max_addresses, udp): whoever may not is told why, and
nobody else notices."""

import datetime

import pytest
from support import http, servers, socks, udp
from support.deadline import wait_until
from support.link_peer import LinkPeer

TOKENS = {name: f"{name}-has-a-token-of-thirty-two-characters" for name in ("guest", "honest")}


def time_in(seconds):
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def users(**terms):
    """Two users; the guest on these terms."""
    return [{"name": "guest", "token": TOKENS["guest"], **terms},
            {"name": "honest", "token": TOKENS["honest"]}]


@pytest.fixture
def guest_house(new_pair):
    """A server with a guest on these terms, and the guest's client."""
    def start(wait_for_link=True, client=None, **terms):
        proxy = new_pair(server={"users": users(**terms), "threads": 2, "tls": {"enabled": False}},
                         client={"tls": {"enabled": False},
                                 "auth": {"user": "guest", "token": TOKENS["guest"]},
                                 **(client or {})})
        proxy.start_server()
        proxy.start_client(wait_for_link=wait_for_link)
        return proxy
    return start


def change_terms(proxy, **terms):
    before = len(proxy.server.lines("configuration reloaded"))
    proxy.server.reload({**proxy.server.config, "users": users(**terms)})
    proxy.server.wait_for_log("configuration reloaded", count=before + 1)


def peer(proxy, user="guest", **options):
    return LinkPeer(proxy.server.endpoint, user, TOKENS[user], **options)


EXPIRED = r"the user's access has expired, on 2020-01-01T00:00:00Z \(users\[\].expires\)"


def test_an_expired_user_is_told_behind_a_right_proof(guest_house, target):
    """So are its applications, and requests are refused at once. A wrong token learns nothing."""
    echo = target(servers.echo)
    proxy = guest_house(expires="2020-01-01T00:00:00Z", wait_for_link=False)
    code, text = peer(proxy).receive_close()
    assert code == 4 and text.startswith("the user's access has expired, on 2020-01-01T00:00:00Z")
    with pytest.raises(PermissionError):
        LinkPeer(proxy.server.endpoint, "guest", "x" + TOKENS["guest"])
    assert proxy.server.says("link from guest@.* refused: " + EXPIRED)
    assert proxy.client.says("link to .* failed: .*" + EXPIRED + ".*does not pass by itself")
    assert socks.rep_for(proxy.socks, "127.0.0.1", echo.port) == socks.GENERAL_FAILURE
    connection, answer = http.ask(proxy.socks, f"CONNECT 127.0.0.1:{echo.port} HTTP/1.1\r\n\r\n")
    connection.close()
    assert answer.status == 503 and b"has expired, on 2020-01-01" in answer.body
    assert peer(proxy, "honest").works()


def test_a_user_that_expires_is_told_and_what_runs_goes_on(guest_house, target):
    """Until the reload that gives it more time."""
    echo = target(servers.echo)
    proxy = guest_house()
    talk = socks.connect(proxy.socks, "127.0.0.1", echo.port)
    change_terms(proxy, expires=time_in(1))
    expired = r"the user's access has expired, on \S+ \(users\[\].expires\)"
    assert proxy.client.says("says: " + expired)
    assert proxy.server.says("session of guest@.*" + expired + "; it gets no new streams, and what runs has 60")
    assert socks.rep_for(proxy.socks, "127.0.0.1", echo.port) == socks.NOT_ALLOWED
    connection, answer = http.ask(proxy.socks, f"CONNECT 127.0.0.1:{echo.port} HTTP/1.1\r\n\r\n")
    connection.close()
    assert answer.status == 403 and b"the user's access has expired" in answer.body
    connection, answer = http.ask(proxy.socks, f"GET http://127.0.0.1:{echo.port}/ HTTP/1.1\r\n"
                                               f"Host: 127.0.0.1:{echo.port}\r\n\r\n")
    connection.close()
    assert answer.status == 403 and b"the user's access has expired" in answer.body
    assert peer(proxy, "honest").works()
    talk.sendall(b"x")
    assert servers.read_exactly(talk, 1) == b"x"
    change_terms(proxy, expires=time_in(3600))
    assert proxy.server.says("session of guest@.* may go on")
    assert socks.rep_for(proxy.socks, "127.0.0.1", echo.port) == socks.SUCCEEDED
    talk.sendall(b"y")
    assert servers.read_exactly(talk, 1) == b"y"


@pytest.mark.slow
def test_sessions_of_an_expired_user_end_after_a_minute(guest_house, target):
    proxy = guest_house()
    talk = socks.connect(proxy.socks, "127.0.0.1", target(servers.echo).port)
    change_terms(proxy, expires="2020-01-01T00:00:00Z")
    assert proxy.client.says("says: " + EXPIRED)
    talk.sendall(b"x")
    assert servers.read_exactly(talk, 1) == b"x"
    assert proxy.client.says("link to .* failed: .*" + EXPIRED, timeout=100)
    with pytest.raises(ConnectionResetError):
        talk.recv(1)


def test_addresses_of_a_user(guest_house, target):
    """As many as it may have; one that is left is free for another."""
    proxy = guest_house(max_addresses=1)
    assert peer(proxy).works()
    assert peer(proxy, source="127.0.0.2").receive_close() == (
        6, "the user comes from 1 addresses already (users[].max_addresses)")
    assert proxy.server.says(r"link from guest@127.0.0.2 refused: the user comes from 1 addresses")
    assert peer(proxy, "honest", source="127.0.0.2").works()
    assert proxy.client.stop() == 0

    def is_taken():
        one = peer(proxy, source="127.0.0.2")
        try:
            return one.works()
        except (AssertionError, OSError):
            return False
        finally:
            one.close()

    wait_until(is_taken, 10, proxy.server.last_words)


def test_a_link_that_is_back_from_one_address_too_many(new_pair, target):
    """Its session waits until another one is gone, or may move there if it is alone."""
    proxy = new_pair(server={"users": users(max_addresses=1), "tls": {"enabled": False}},
                     client={"tls": {"enabled": False},
                             "auth": {"user": "guest", "token": TOKENS["guest"]}}, relay=[]).start()
    talk = socks.connect(proxy.socks, "127.0.0.1", target(servers.echo).port)
    proxy.relay.do("refuse on")
    proxy.relay.do("cut rst")
    proxy.server.wait_for_log("wait to be resumed")
    other = peer(proxy, source="127.0.0.2")
    assert other.works()
    proxy.relay.do("refuse off")
    assert proxy.server.says("a link for a session of guest@.* was refused: the user comes from 1 addresses",
                             timeout=20)
    other.close()
    proxy.server.wait_for_log("link from guest@.* is back", timeout=30)
    talk.sendall(b"x")
    assert servers.read_exactly(talk, 1) == b"x"


def test_a_user_without_udp(guest_house):
    """The application's connection for it is closed, as for any other refusal of the server's."""
    proxy = guest_house(udp=False)
    outside = udp.Target()
    with udp.Association(proxy.socks) as refused:
        assert refused.ended()
    assert proxy.client.says(r"refused a UDP association \(REP 0x07\)")
    change_terms(proxy)
    with udp.Association(proxy.socks) as association:
        assert association.ask(b"ping", outside.host, outside.port)[1] == b"ping"
    outside.stop()
