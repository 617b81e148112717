"""packaging/kubernetes says what the images need; no cluster is asked."""

import pathlib
import re

import pytest

yaml = pytest.importorskip("yaml")

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "packaging/kubernetes"


def objects():
    found = {}
    for one in yaml.safe_load_all((FOLDER / "server.yaml").read_text(encoding="utf-8")):
        found[one["kind"]] = one
    return found


def test_the_pods_run_as_the_image_does():
    pod = objects()["Deployment"]["spec"]["template"]["spec"]
    container, = pod["containers"]
    assert pod["securityContext"]["runAsUser"] == 10001
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod["terminationGracePeriodSeconds"] > 30, "timeouts.drain"
    probe = container["readinessProbe"]
    assert probe["exec"]["command"] == ["muxsocks-server", "health"]
    assert probe["timeoutSeconds"] > 3, "the health command's own time"
    assert "livenessProbe" not in container, "a pod full of working sessions is never restarted"


def test_the_service_leads_to_the_pods_and_keeps_clients_there():
    deployment, service = objects()["Deployment"]["spec"], objects()["Service"]["spec"]
    assert service["selector"] == deployment["selector"]["matchLabels"]
    assert deployment["template"]["metadata"]["labels"] == service["selector"]
    port, = deployment["template"]["spec"]["containers"][0]["ports"]
    assert service["ports"][0]["targetPort"] == port["name"]
    assert service["sessionAffinity"] == "ClientIP"


def test_the_secret_is_made_of_what_init_writes():
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text(encoding="utf-8"))
    secret, = kustomization["secretGenerator"]
    volume, = objects()["Deployment"]["spec"]["template"]["spec"]["volumes"]
    assert volume["secret"]["secretName"] == secret["name"]
    assert set(secret["files"]) == {"server.json", "server-cert.pem", "server-key.pem"}
    image, = kustomization["images"]
    container, = objects()["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert image["name"] == container["image"]


def test_keys_are_made_outside_of_the_clone():
    """Kustomize takes files below its own folder only, so that folder is copied out."""
    text = (FOLDER / "kustomization.yaml").read_text(encoding="utf-8")
    copy, = re.findall(r"cp -r packaging/kubernetes (~/\S+)", text)
    assert re.findall(r"--dir (\S+)", text) == re.findall(r"apply -k (\S+)", text) == [copy]
