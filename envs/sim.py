"""One PyBullet world of its own: load bodies, step, save and restore its exact state."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path

import pybullet as bullet

TIME_STEP = 0.05  # s of one environment step: 20 Hz control
SUBSTEPS = 10  # of 1/200 s each: the longest at which a pushed puck neither sinks in nor bounces


def _disconnect(client: int, folder: str) -> None:
    if bullet.isConnected(client):
        bullet.disconnect(client)
    shutil.rmtree(folder, ignore_errors=True)


class Simulation:
    """A PyBullet DIRECT client with its bodies; several may live in one process.

    Exact state is a `.bullet` file, written and read back: positions, velocities and contact caches. Setting joints in place
    instead diverges from the saved run as soon as something touches. Motors are not part of it: command them at every step.
    """

    def __init__(self) -> None:
        self.client: int = bullet.connect(bullet.DIRECT)
        self.folder = Path(tempfile.mkdtemp(prefix="gcrl-sim-"))
        self._finalizer = weakref.finalize(self, _disconnect, self.client, str(self.folder))
        bullet.setPhysicsEngineParameter(
            fixedTimeStep=TIME_STEP, numSubSteps=SUBSTEPS, deterministicOverlappingPairs=1, physicsClientId=self.client
        )
        bullet.setGravity(0, 0, -9.81, physicsClientId=self.client)

    def load(self, name: str, urdf: str, *, position: tuple[float, float, float] = (0, 0, 0), fixed: bool = True) -> int:
        """Load a URDF given as text and return its body id."""
        path = self.folder / f"{name}.urdf"
        path.write_text(urdf)
        body: int = bullet.loadURDF(str(path), basePosition=position, useFixedBase=fixed, physicsClientId=self.client)
        return body

    def add_box(self, half: tuple[float, float, float], position: tuple[float, float, float], colour: tuple[float, float, float]) -> int:
        """Add a fixed box with half extents `half` (m) and return its body id."""
        shape = bullet.createCollisionShape(bullet.GEOM_BOX, halfExtents=half, physicsClientId=self.client)
        visual = bullet.createVisualShape(bullet.GEOM_BOX, halfExtents=half, rgbaColor=(*colour, 1), physicsClientId=self.client)
        body: int = bullet.createMultiBody(0, shape, visual, basePosition=position, physicsClientId=self.client)
        return body

    def step(self) -> None:
        """Advance by one environment step of `TIME_STEP` seconds."""
        bullet.stepSimulation(physicsClientId=self.client)

    def keep_start(self) -> None:
        """Remember the present state as what `restore_start` goes back to."""
        bullet.saveBullet(str(self.folder / "start.bullet"), physicsClientId=self.client)

    def restore_start(self) -> None:
        """Go back to the state of `keep_start`, whatever happened since, bit for bit."""
        bullet.restoreState(fileName=str(self.folder / "start.bullet"), physicsClientId=self.client)

    def save(self) -> bytes:
        """Return the exact state."""
        path = self.folder / "saved.bullet"
        bullet.saveBullet(str(path), physicsClientId=self.client)
        return path.read_bytes()

    def restore(self, state: bytes) -> None:
        """Restore an exact state that `save` returned here or in another process with the same bodies."""
        path = self.folder / "restored.bullet"
        path.write_bytes(state)
        bullet.restoreState(fileName=str(path), physicsClientId=self.client)

    def penetration(self) -> float:
        """Return how deep (m) the deepest contact goes in the present configuration; 0 where nothing overlaps."""
        bullet.performCollisionDetection(physicsClientId=self.client)
        return max([0.0, *(-float(contact[8]) for contact in bullet.getContactPoints(physicsClientId=self.client))])

    def close(self) -> None:
        """Disconnect and remove the temporary folder; a second call does nothing."""
        self._finalizer()
