"""One PyBullet world of its own: load bodies, step, save and restore its exact state."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import tempfile
import time
import weakref
from pathlib import Path

from envs.errors import UserError
from envs.quiet import bullet

Triple = tuple[float, float, float]

TIME_STEP = 0.05  # s of one environment step: 20 Hz control
SUBSTEPS = 10  # of 1/200 s each; at this a puck pushed at full speed sinks less than 1 mm into hand or table
SOLVER_ITERATIONS = 15  # enough for one arm and one body: contacts are as deep as with pybullet's 50
# Where a body is pressed against another or against the end of its joint. With 15, what fingers hold sinks into one of them by
# centimetres, and a hand that leans on a shut drawer into its handle by 6 mm.
FIRM_ITERATIONS = 50
PREFIX = "gcrl-sim-"
DAY = 86_400.0  # s


def _disconnect(client: int, folder: str, owner: int) -> None:
    if os.getpid() != owner:  # a forked child holds a copy of the object, but the world and its files are its parent's
        return
    if bullet.isConnected(client):
        bullet.disconnect(client)
    shutil.rmtree(folder, ignore_errors=True)


@functools.cache
def sweep(within: Path) -> None:
    """Remove the folders that killed processes left in `within`: of processes that are not there, untouched for a day. Once a process."""
    for folder in within.glob(f"{PREFIX}*"):
        owner = folder.name.removeprefix(PREFIX).partition("-")[0]
        with contextlib.suppress(OSError):  # another process may be sweeping too
            # The day is for processes elsewhere that share this folder but not our process numbers.
            if owner.isdigit() and not _is_alive(int(owner)) and time.time() - folder.stat().st_mtime > DAY:
                shutil.rmtree(folder, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


class Simulation:
    """A PyBullet DIRECT client with its bodies; several may live in one process.

    Exact state is a `.bullet` file, written and read back: positions, velocities and contact caches. Setting joints in place
    instead diverges from the saved run as soon as something touches. Motors are not part of it: command them at every step.

    iterations: of the contact solver in a substep.
    """

    def __init__(self, iterations: int = SOLVER_ITERATIONS) -> None:
        self.client: int = bullet.connect(bullet.DIRECT)
        sweep(Path(tempfile.gettempdir()))
        self.folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
        self.movers: list[int] = []  # every body that can move or has links that can
        self._finalizer = weakref.finalize(self, _disconnect, self.client, str(self.folder), os.getpid())
        bullet.setPhysicsEngineParameter(
            fixedTimeStep=TIME_STEP,
            numSubSteps=SUBSTEPS,
            numSolverIterations=iterations,
            enableFileCaching=0,  # or a state would be read from the cache of an earlier file of its name
            deterministicOverlappingPairs=1,
            physicsClientId=self.client,
        )
        bullet.setGravity(0, 0, -9.81, physicsClientId=self.client)

    def load(self, name: str, urdf: str, *, position: Triple = (0, 0, 0), fixed: bool = True) -> int:
        """Load a URDF given as text and return its body id."""
        path = self.folder / f"{name}.urdf"
        path.write_text(urdf)
        body: int = bullet.loadURDF(str(path), basePosition=position, useFixedBase=fixed, physicsClientId=self.client)
        self.movers.append(body)
        return body

    def add_box(self, half: Triple, position: Triple, colour: Triple | None = None, *, solid: bool = True) -> int:
        """Add a fixed box with half extents `half` (m) and return its body id; unseen without a colour, a mere picture unless solid."""
        shape = -1
        if solid:
            shape = bullet.createCollisionShape(bullet.GEOM_BOX, halfExtents=half, physicsClientId=self.client)
        # Without a visual shape pybullet would draw the collision shape, so an unseen box gets a speck.
        drawn, tint = (half, (*colour, 1)) if colour is not None else ((1e-4, 1e-4, 1e-4), (1, 1, 1, 0))
        visual = bullet.createVisualShape(bullet.GEOM_BOX, halfExtents=drawn, rgbaColor=tint, physicsClientId=self.client)
        body: int = bullet.createMultiBody(0, shape, visual, basePosition=position, physicsClientId=self.client)
        bullet.changeDynamics(body, -1, lateralFriction=1.0, physicsClientId=self.client)
        return body

    def step(self) -> None:
        """Advance by one environment step of `TIME_STEP` seconds."""
        bullet.stepSimulation(physicsClientId=self.client)

    def keep_start(self) -> None:
        """Remember the present state as what `restore_start` goes back to."""
        bullet.saveBullet(str(self.folder / "start.bullet"), physicsClientId=self.client)

    def restore_start(self) -> None:
        """Go back to the state of `keep_start`, whatever happened since, bit for bit."""
        self._restore(self.folder / "start.bullet")

    def save(self) -> bytes:
        """Return the exact state."""
        path = self.folder / "saved.bullet"
        bullet.saveBullet(str(path), physicsClientId=self.client)
        return path.read_bytes()

    def restore(self, state: bytes) -> None:
        """Restore an exact state that `save` returned here or in another process with the same bodies."""
        path = self.folder / "restored.bullet"
        path.write_bytes(state)
        self._restore(path)

    def _restore(self, path: Path) -> None:
        # A pair of bodies keeps its last separating axis while the two are near each other. It is in no file, and it tips the
        # last bits of the next contact; so all are taken apart first, and no trace of earlier contacts is left.
        for index, body in enumerate(self.movers):
            bullet.resetBasePositionAndOrientation(body, (0, 0, 100 * (index + 1)), (0, 0, 0, 1), physicsClientId=self.client)
        bullet.performCollisionDetection(physicsClientId=self.client)
        try:
            bullet.restoreState(fileName=str(path), physicsClientId=self.client)
        except bullet.error as error:
            raise UserError(f"the simulator cannot restore this state ({error}); expected a state of the same task") from error

    def contact_depth(self) -> float:
        """Return how deep (m) the deepest contact of the last step goes; 0 where nothing overlaps."""
        return max([0.0, *(-float(contact[8]) for contact in bullet.getContactPoints(physicsClientId=self.client))])

    def penetration(self) -> float:
        """Return how deep (m) bodies that were put in place overlap, without a step; 0 where nothing does."""
        bullet.performCollisionDetection(physicsClientId=self.client)
        return self.contact_depth()

    def close(self) -> None:
        """Disconnect and remove the temporary folder; a second call does nothing."""
        self._finalizer()
