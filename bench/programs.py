# SPDX-License-Identifier: Apache-2.0
"""Running our programs, for the scripts in this folder that train."""
import json
import os
import re
import shutil
import statistics
import subprocess
import sys

STATE = ("params", "grads", "optimizer")


class Programs:
    """The programs of a build, on some ranks that share the cores."""

    def __init__(self, build, ranks):
        self.build = os.path.abspath(build)
        self.ranks = ranks
        self.threads = max(1, os.cpu_count() // ranks)
        self.env = dict(os.environ, OMP_NUM_THREADS=str(self.threads),
                        OMPI_MCA_btl_vader_single_copy_mechanism="none")
        if os.geteuid() == 0:
            self.env["OMPI_ALLOW_RUN_AS_ROOT"] = "1"
            self.env["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] = "1"

    def run(self, program, *args):
        """Run it on all ranks; on failure show what it said, and end."""
        command = ["mpirun", "-q", "-n", str(self.ranks), "--bind-to", "none",
                   "--oversubscribe", os.path.join(self.build, program),
                   *map(str, args)]
        done = subprocess.run(command, env=self.env, text=True,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        if done.returncode:
            sys.exit(f"{' '.join(command)}\n{done.stdout}")
        return done.stdout

    def profile(self, job, sizes, disk):
        """Measure job.yaml's model and the machine with a disk."""
        with open("job.yaml", "w") as file:
            file.write(job)
        self.profile_sizes(sizes)
        return self.run("dawn-profile", "--machine", "--dir", disk).strip()

    def profile_sizes(self, sizes):
        self.run("dawn-profile", "job.yaml", "--microbatch",
                 ",".join(map(str, sizes)))

    def plan(self, name, microbatches, *args):
        """Make NAME.yaml; None where nothing fits."""
        command = [os.path.join(self.build, "dawn-plan"), "profile.yaml",
                   "--machine", "machine.yaml", "--stages", str(self.ranks),
                   "--microbatches", str(microbatches), "-o", name + ".yaml",
                   *map(str, args)]
        done = subprocess.run(command, env=self.env, text=True,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        if done.returncode > 1:
            sys.exit(f"{' '.join(command)}\n{done.stdout}")
        self.said = done.stdout
        return Plan(name, done.stdout) if done.returncode == 0 else None

    def plan_fails(self, name, microbatches, *args):
        """What dawn-plan says of a plan that does not fit."""
        if self.plan(name, microbatches, *args):
            sys.exit(f"{args}: fits")
        return self.said

    def predict_now(self, plan):
        """The plan's step in ms by a profile of its microbatch of this minute:
        the machine may be faster or slower than when the plan was made."""
        self.run("dawn-profile", "job.yaml", "--microbatch", plan.microbatch,
                 "--repeats", 7, "-o", "now.yaml")
        said = subprocess.run(
            [os.path.join(self.build, "dawn-simulate"), plan.name + ".yaml",
             "--profile", "now.yaml", "--machine", "machine.yaml", "--json"],
            check=True, text=True, stdout=subprocess.PIPE).stdout
        return json.loads(said)["step_ns"] / 1e6

    def train(self, plan, disk):
        """Train job.yaml under the plan, keep all steps but the first two."""
        shutil.rmtree("run", ignore_errors=True)
        self.run("dawn-train", "job.yaml", "--plan", plan.name + ".yaml",
                 "--offload-dir", disk)
        with open("run/metrics.jsonl") as lines:
            plan.steps += [json.loads(line) for line in lines][2:]

    def turns(self, job, steps, plans):
        """By plan: steps of the job under plans that take turns."""
        said = self.run("bench/step", job, steps + 2,
                        *(f"{plan}.yaml" for plan in plans))
        lines = [json.loads(line) for line in said.splitlines()
                 if line.startswith("{")]
        return [[s for s in lines if s["plan"] == k and s["step"] >= 2]
                for k in range(len(plans))]


class Plan:
    """What dawn-plan wrote, and the steps that were trained with it."""

    def __init__(self, name, said):
        with open(name + ".yaml") as file:
            text = file.read()
        number = r"\b%s: (\d+)"
        self.name = name
        self.steps = []
        self.by = [dict((k, int(v)) for k, v in
                        re.findall(r"(\w+): (\d+)", by))
                   for by in re.findall(r"by: \{(.*)\}", text)]
        self.peak = [int(x) for x in re.findall(number % "peak_bytes", text)]
        self.arena = [int(x) for x in re.findall(number % "arena_bytes", text)]
        self.stall = [int(x) for x in re.findall(number % "stall_ns", text)]
        self.microbatch = int(re.search(number % "microbatch",
                                        text).group(1))
        value, unit = re.search(r"step ([\d.]+) (ns|us|ms|s)", said).groups()
        self.predicted_ms = float(value) * {"ns": 1e-6, "us": 1e-3, "ms": 1,
                                            "s": 1e3}[unit]

    def state(self):
        """Bytes of parameters, gradients and optimizer by rank."""
        return [sum(by[k] for k in STATE) for by in self.by]

    def activations(self):
        return max(p - s for p, s in zip(self.peak, self.state()))

    def as_predicted(self):
        """Was the peak of every step on every rank the predicted one?"""
        return all(s["peak_bytes"] == self.peak for s in self.steps)


def times_of(steps, others):
    """How many times as long steps take as the others that they took turns
    with: quartiles of pairs; and the quickest quarter by the quickest, as
    whatever disturbs a step makes it longer."""
    low, median, high = statistics.quantiles(
        a["step_ns"] / b["step_ns"] for a, b in zip(steps, others))
    quick = [sum(sorted(s["step_ns"] for s in k)[:(len(k) + 3) // 4])
             for k in (steps, others)]
    return low, median, high, quick[0] / quick[1]


def write_text(path):
    """Any text of 2 MB."""
    with open(path, "w") as text:
        text.write("".join(f"{i}\n" for i in range(300000)))
