"""Many containers on few peers."""

from scenario import scenario
from testbed_lib.cluster import web

REPLICAS = 300


@scenario(peers=3, bound_s=600, alone=True)
def test_three_hundred_containers(cluster):
    """300 containers on three peers come up, and all answer."""
    # No health check: 300 of them a second would measure the machine, not Consort.
    cluster.deploy(web(replicas=REPLICAS, healthcheck={"disable": True},
                       update={"parallelism": 0}), wait=False)
    cluster.wait_serving(REPLICAS, bound_s=400)
    with cluster.load(pause_s=0) as load:
        cluster.wait(lambda: len(load.bodies) == REPLICAS, f"all {REPLICAS} replicas answer", bound_s=120)
    assert load.failed == 0, load.report()
