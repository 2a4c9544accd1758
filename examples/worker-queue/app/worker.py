"""Takes jobs from the queue, one at a time."""
import argparse
import os

import redis

parser = argparse.ArgumentParser()
parser.add_argument("--name", required=True)
name = parser.parse_args().name
queue = redis.Redis(host=os.environ["REDIS_HOST"])
while True:
    job = queue.blpop(os.environ["QUEUE"])[1]
    print(f"{name}: {job.decode()}")
    queue.hincrby(os.environ["RESULTS"], name, 1)
