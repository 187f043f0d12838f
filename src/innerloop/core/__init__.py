"""The contract and the two folds; imports jax and equinox only."""

from innerloop.core.choices import accept as accept, at_least as at_least
from innerloop.core.contract import (
    Belief as Belief,
    Choice as Choice,
    Chunk as Chunk,
    Cursor as Cursor,
    Decision as Decision,
    DeviceEnv as DeviceEnv,
    Evidence as Evidence,
    HostTasks as HostTasks,
    Inner as Inner,
    Lifetime as Lifetime,
    Metrics as Metrics,
    Outer as Outer,
    Plan as Plan,
    Prediction as Prediction,
    Step as Step,
    Task as Task,
    TaskDistribution as TaskDistribution,
    Transitions as Transitions,
    World as World,
)
from innerloop.core.distributions import (
    Categorical as Categorical,
    Dist as Dist,
    Normal as Normal,
    TanhNormal as TanhNormal,
    Uniform as Uniform,
)
from innerloop.core.life import (
    adapt as adapt,
    birth as birth,
    life_keys as life_keys,
    live as live,
    per_task as per_task,
    replay as replay,
    select as select,
    stages as stages,
)
from innerloop.core.spaces import Box as Box, Cells as Cells, Discrete as Discrete, Space as Space, Spaces as Spaces
