"""What scripts/demo shows: three nodes, changes from push to the last node, and bad ones that are taken back."""

import argparse
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from da_agent.adapters.dev_clusters import DevCluster
from da_agent.errors import AgentError

HERE = Path(__file__).parent
CHECKS = "  health timeout: 2\n  max failures: 0\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end once everything has been shown")
    parser.add_argument("--s3", action="store_true", help="use a real S3 server, started for the demo")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with ExitStack() as stack:
        work = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="da-agent-demo-", ignore_cleanup_errors=True))
        )
        # The web server's processes are another user when this runs as root.
        work.chmod(0o755)
        store = stack.enter_context(s3_server(work / "s3")) if chosen.s3 else None
        title("Three nodes on this machine, each with its own supervisord, Apache, ports and root")
        cluster = DevCluster.create(
            work / "cluster",
            nodes=3,
            store=store,
            application="hello:application",
            application_path=HERE,
            environment=os.environ,
        )
        stack.callback(cluster.stop)
        cluster.start()
        os.environ["DA_AGENT_STORE"] = cluster.store
        cluster.wait()
        play(cluster, work)
        title("What the cluster says of itself")
        run("da-agent", "history")
        run("da-agent", "status")
        if not chosen.once:
            invite(cluster)
            signal.pause()


def play(cluster: DevCluster, work: Path) -> None:
    """Two changes that must arrive on every node, and two that must arrive on none, or the demo fails."""
    expect(cluster, "Hello. Release 1")
    title("A change of configuration")
    config = work / "config.yml"
    config.write_text(f"greeting: Good evening\n{config_of(cluster)}")
    run("da-agent", "push", "config", str(config))
    expect(cluster, "Good evening. Release 2")
    title("A package from the index: resolved once, then installed on every node from the store alone")
    run("da-agent", "push", "package", "cowsay==6.1")
    expect(cluster, "cowsay 6.1")
    title("A bad change is refused, and nothing happens")
    config.write_text(f"greeting: Good night\ngreeting: Twice\n{config_of(cluster)}")
    run("da-agent", "push", "config", str(config), expected=3)
    expect(cluster, "Good evening. Release 3")
    title("A bad release that nothing shows before it runs: it is taken back by itself, and nobody has seen it")
    config.write_text(f"greeting: nobody\n{config_of(cluster)}")
    run("da-agent", "push", "config", str(config), expected=14)
    expect(cluster, "Good evening. Release 3")
    run("da-agent", "why", cluster.nodes[0].name)


def config_of(cluster: DevCluster) -> str:
    """The nodes' configuration without the greeting, with a page that tells whether a release is well."""
    text = (cluster.nodes[0].root / "config.yml").read_text(encoding="utf-8")
    kept = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("greeting:"))
    return kept if CHECKS in kept else kept.replace("da agent:\n", f"da agent:\n{CHECKS}", 1)


def expect(cluster: DevCluster, text: str) -> None:
    for node in cluster.nodes:
        with urllib.request.urlopen(node.http_url, timeout=30) as answer:
            page = answer.read().decode()
        print(f"{node.name} {node.http_url}: {' '.join(page.split())}")
        if text not in page:
            raise SystemExit(f"scripts/demo: {node.name} does not serve {text!r}")


def invite(cluster: DevCluster) -> None:
    title("Play on: everything runs until Ctrl-C")
    print(f"export PATH={Path(sys.executable).parent}:$PATH DA_AGENT_STORE={shlex.quote(cluster.store)}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        if name in os.environ:
            print(f"export {name}={os.environ[name]}")
    print("da-agent push package six          # or: da-agent remove package cowsay")
    if cluster.store.startswith("file://"):
        print(f"cp my.yml {cluster.store.removeprefix('file://')}/config.yml     # plain tools do the same")
    for node in cluster.nodes:
        print(f"{node.name}: {node.http_url}   logs in {node.root / 'agent' / 'log'}")


@contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """A real S3 server; its keys go into the environment. Yields the store's URL."""
    title("A real S3 server on this machine")
    command = (sys.executable, str(HERE.parent / "scripts" / "s3-server"), str(folder))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            facts = {}
            assert process.stdout is not None
            for line in process.stdout:
                name, _, value = line.strip().partition("=")
                if name == "END":
                    break
                facts[name] = value
            os.environ |= {name: value for name, value in facts.items() if name.startswith("AWS_")}
            store = f"s3://{facts['BUCKET']}/demo?endpoint_url={facts['ENDPOINT']}&region=us-east-1&path_style=true"
            os.environ["DA_AGENT_STORE"] = store
            run("da-agent", "doctor", "store")
            yield store
        finally:
            process.terminate()


def run(*command: str, expected: int = 0) -> None:
    print(f"$ {shlex.join(command)}", flush=True)
    code = subprocess.run(command, check=False).returncode
    if code != expected:
        raise SystemExit(f"scripts/demo: {shlex.join(command)} ended with exit code {code}, not {expected}")


def title(text: str) -> None:
    print(f"\n== {text}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
    except AgentError as error:
        sys.exit(f"scripts/demo: {error}")
