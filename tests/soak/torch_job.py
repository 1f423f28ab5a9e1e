"""A job of torch.distributed as its users write it: data parallel over gloo, a checkpoint after every step, resumed when there is one."""

import os
import time

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

STEPS, STEP_S = int(os.environ["STEPS"]), float(os.environ["STEP_S"])
dist.init_process_group("gloo")
rank = dist.get_rank()
torch.manual_seed(0)
model = DistributedDataParallel(torch.nn.Linear(8, 1))
optimiser = torch.optim.SGD(model.parameters(), lr=0.05)
path, first = os.path.join(os.environ["AETHER_CHECKPOINT"], "state.pt"), 0
if os.path.exists(path):
    kept = torch.load(path)
    model.load_state_dict(kept["model"])
    first = kept["step"]
newest = torch.tensor([first])
dist.all_reduce(newest, op=dist.ReduceOp.MIN)  # who has an older checkpoint would train on without the others
print(f"rank {rank} of {dist.get_world_size()} on {os.environ['AETHER_SHIP']} begins at step {first}", flush=True)
draw = torch.Generator().manual_seed(rank)
truth = torch.arange(8.0)
for step in range(first, STEPS):
    x = torch.randn(64, 8, generator=draw)
    loss = ((model(x).squeeze() - x @ truth) ** 2).mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    if rank == 0:
        torch.save({"model": model.state_dict(), "step": step + 1}, path + ".tmp")
        os.replace(path + ".tmp", path)
    time.sleep(STEP_S)
dist.barrier()
print(f"rank {rank} done at step {STEPS} loss {loss.item():.4f}", flush=True)
dist.destroy_process_group()
