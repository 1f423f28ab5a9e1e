"""llama.cpp's HTTP server as the package xllamacpp carries it, by some of llama-server's options: `make other-server` installs it."""

import argparse
import os
import signal

import xllamacpp

KINDS = {"f16": xllamacpp.ggml_type.GGML_TYPE_F16, "f32": xllamacpp.ggml_type.GGML_TYPE_F32}
FLASH = xllamacpp.llama_flash_attn_type
ATTENTION = {
    "auto": FLASH.LLAMA_FLASH_ATTN_TYPE_AUTO,
    "on": FLASH.LLAMA_FLASH_ATTN_TYPE_ENABLED,
    "off": FLASH.LLAMA_FLASH_ATTN_TYPE_DISABLED,
}

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("-m", "--model", required=True)
parser.add_argument("--host", default="127.0.0.1")
parser.add_argument("--port", type=int, default=8080, help="0 takes a free one, which is printed")
parser.add_argument(
    "-c", "--ctx-size", type=int, default=0, help="tokens, of all requests at once; 0: what the model has"
)
parser.add_argument("-np", "--parallel", type=int, default=1, help="requests at once")
parser.add_argument("-t", "--threads", type=int, default=1)
parser.add_argument("-fa", "--flash-attn", choices=list(ATTENTION), default="auto")
parser.add_argument("-ctk", "--cache-type-k", choices=list(KINDS), default="f16")
parser.add_argument("-ctv", "--cache-type-v", choices=list(KINDS), default="f16")
given = parser.parse_args()
leave = {signal.SIGTERM, signal.SIGINT}
signal.pthread_sigmask(signal.SIG_BLOCK, leave)  # before the server's threads begin: the last line waits for them
params = xllamacpp.CommonParams()
params.model.path, params.hostnames, params.port = given.model, [given.host], given.port
params.n_ctx, params.n_parallel = given.ctx_size, given.parallel
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = given.threads
params.flash_attn_type = ATTENTION[given.flash_attn]
params.cache_type_k, params.cache_type_v = KINDS[given.cache_type_k], KINDS[given.cache_type_v]
params.api_keys = [key for key in [os.environ.get("LLAMA_API_KEY")] if key]  # llama-server reads it too
server = xllamacpp.Server(params)
print(f"llama.cpp at {server.listening_address}", flush=True)
signal.sigwait(leave)
