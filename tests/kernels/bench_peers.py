#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
"""Time products of PyTorch (oneDNN), zentorch (AOCL) and ONNX Runtime on this CPU, as bench_cpu.sh times ours.

usage: bench_peers.py [--threads T] [--m 1,4,16,64,512] [--n N] [--set MIB] [--seconds S] [NAME...]

One JSON line a figure of a layer of 4096 rows and N (4096) columns: cold weights (copies rotate), medians, error against
float64 of the values that the product was given. A peer that fails says so and is left out."""

import argparse
import json
import sys
import time

import numpy as np

K = N = 4096
GROUP = 128


def median_us(call, copies, seconds):
    call(0)
    times = []
    begin = time.perf_counter()
    while len(times) < 400 and (len(times) < 5 or time.perf_counter() - begin < seconds):
        start = time.perf_counter()
        call((len(times) + 1) % copies)
        times.append(time.perf_counter() - start)
    return 1e6 * sorted(times)[len(times) // 2]


def relative(y, exact):
    return float(np.linalg.norm(y - exact) / np.linalg.norm(exact))


def copies_of(nbytes, args, m):
    # Large products are not bound by memory: fewer copies will do.
    return 4 if m >= 64 else (args.set << 20) // nbytes + 1


class Dense:
    """bf16 by bf16; packed: weights reordered ahead, as compiled models have them."""

    op = "dense_bf16"

    def __init__(self, args, packed):
        import torch
        self.torch = torch
        self.args = args
        self.packed = packed
        self.weight = (0.1 * (torch.rand(N, K) - 0.5)).bfloat16()

    def time(self, m):
        torch = self.torch
        x = torch.randn(m, K).bfloat16()
        count = copies_of(2 * K * N, self.args, m)
        if self.packed:
            def pack():
                return torch.ops.mkldnn._reorder_linear_weight(self.weight.clone(), m)

            def product(w):
                return torch.ops.mkldnn._linear_pointwise(x, w, None, "none", [], "")
        else:
            def pack():
                return self.weight.clone()

            def product(w):
                return torch.nn.functional.linear(x, w)
        weights = [pack() for _ in range(count)]
        us = median_us(lambda i: product(weights[i]), count, self.args.seconds)
        exact = x[:4].double() @ self.weight[:64].double().T
        return us, relative(product(weights[0])[:4, :64].double().numpy(), exact.numpy())


class Int8:
    """int8 by int8 with codes of x that are there already, into fp32 (qlinear) or int32 (int_mm)."""

    op = "w8a8"

    def __init__(self, args, qlinear):
        import torch
        self.torch = torch
        self.args = args
        self.qlinear = qlinear
        self.weight = torch.randint(-127, 128, (N, K), dtype=torch.int8)
        self.scales = torch.full((N,), 0.001)
        self.zeros = torch.zeros(N, dtype=torch.int32)

    def time(self, m):
        torch = self.torch
        x = torch.randint(-127, 128, (m, K), dtype=torch.int8)
        count = copies_of(K * N, self.args, m)
        if self.qlinear:
            def pack():
                return torch.ops.onednn.qlinear_prepack(self.weight.clone(), [m, K])

            def product(w):
                return torch.ops.onednn.qlinear_pointwise(
                    x, 0.01, 0, w, self.scales, self.zeros, None, 1.0, 0, torch.float32, "none", [], "")
        else:
            def pack():
                return self.weight.t().contiguous()

            def product(w):
                return torch._int_mm(x, w)
        weights = [pack() for _ in range(count)]
        us = median_us(lambda i: product(weights[i]), count, self.args.seconds)
        exact = x[:4].double() @ self.weight[:64].double().T * (1e-5 if self.qlinear else 1.0)
        return us, relative(product(weights[0])[:4, :64].double().numpy(), exact.numpy())


class Int4:
    """4-bit weights in groups, bf16 activations."""

    op = "w4a16"

    def __init__(self, args):
        import torch
        self.torch = torch
        self.args = args
        self.codes = torch.randint(0, 16, (N, K), dtype=torch.int32)
        self.scales_zeros = torch.stack([torch.full((K // GROUP, N), 0.004),
                                         torch.zeros(K // GROUP, N)], dim=2).bfloat16().contiguous()

    def time(self, m):
        torch = self.torch
        x = torch.randn(m, K).bfloat16()
        count = copies_of(K * N // 2, self.args, m)
        packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(self.codes, 1)
        weights = [packed.clone() for _ in range(count)]

        def product(w):
            return torch.ops.aten._weight_int4pack_mm_for_cpu(x, w, GROUP, self.scales_zeros)
        us = median_us(lambda i: product(weights[i]), count, self.args.seconds)
        scale = self.scales_zeros[0, 0, 0].double()
        exact = x[:4].double() @ ((self.codes[:64].double() - 8.0) * scale).T
        return us, relative(product(weights[0])[:4, :64].double().numpy(), exact.numpy())


class Aocl:
    """4-bit weights in groups or bf16 weights and bf16 x, or int8 weights and bf16 x that is quantized inside."""

    def __init__(self, args, op):
        import torch
        import zentorch  # pylint: disable=unused-import
        self.torch = torch
        self.ops = torch.ops.zentorch
        self.args = args
        self.op = op
        self.nbytes = {"w4a16": K * N // 2, "w8a8": K * N, "dense_bf16": 2 * K * N}[op]
        most = {"w4a16": 8, "w8a8": 128}.get(op)
        if most is None:
            self.weight = (0.1 * (torch.rand(N, K) - 0.5)).bfloat16()
            self.exact = self.weight[:64].double()
        else:
            self.weight = torch.randint(-most, most, (N, K), dtype=torch.int8)
            self.scales = torch.full((K // GROUP, N), 0.004).bfloat16()
            self.column_scales = torch.full((N,), 0.001)
            self.exact = self.weight[:64].double() * (self.scales[0, 0].double() if most == 8 else 0.001)

    def product(self, x, w):
        if self.op == "w4a16":
            return self.ops.zentorch_woq_linear(x, w, self.scales, None)
        if self.op == "w8a8":
            return self.ops.zentorch_dynamic_qlinear(x, w, self.column_scales)
        return self.ops.zentorch_linear_unary(x, w)

    def time(self, m):
        x = self.torch.randn(m, K).bfloat16()
        count = copies_of(self.nbytes, self.args, m)
        weight = self.ops.zentorch_woq_repack_weight(self.weight) if self.op == "w4a16" else self.weight
        # Packed on first use, by address: the transpose of 4-bit weights is one of strides alone.
        weights = [weight.clone().t() if self.op == "w4a16" else weight.clone() for _ in range(count)]
        for w in weights:
            self.product(x, w)
        us = median_us(lambda i: self.product(x, weights[i]), count, self.args.seconds)
        y = self.product(x, weights[0])[:4, :64].double()
        # Of weights that are freed, packed ones would be found for others at their address.
        self.kept = getattr(self, "kept", []) + weights
        return us, relative(y.numpy(), (x[:4].double() @ self.exact.T).numpy())


class Onnx:
    """A chain of layers, each with its own weights; activations are quantized inside."""

    def __init__(self, args, bits):
        import onnx
        import onnxruntime
        self.onnx = onnx
        self.runtime = onnxruntime
        self.args = args
        self.bits = bits
        self.op = "w4a16_int8" if bits == 4 else "w8a8"

    def layer(self, i, names):
        helper = self.onnx.helper
        numpy_helper = self.onnx.numpy_helper
        if self.bits == 4:
            codes = np.random.default_rng(i).integers(0, 256, (N, K // GROUP, GROUP // 2), dtype=np.uint8)
            tensors = [codes, np.full(N * K // GROUP, 0.0034, dtype=np.float32)]
            node = {"op_type": "MatMulNBits", "K": K, "N": N, "bits": 4, "block_size": GROUP,
                    "accuracy_level": 4}
        else:
            codes = np.random.default_rng(i).integers(-127, 128, (K, N), dtype=np.int8)
            tensors = [codes, np.full(N, 2.1e-4, dtype=np.float32), np.zeros(N, dtype=np.int8)]
            node = {"op_type": "DynamicQuantizeMatMul"}
        inputs = [numpy_helper.from_array(t, f"t{i}_{j}") for j, t in enumerate(tensors)]
        kind = node.pop("op_type")
        return helper.make_node(kind, [names[0]] + [t.name for t in inputs], [names[1]],
                                domain="com.microsoft", **node), inputs

    def time(self, m):
        onnx = self.onnx
        helper = onnx.helper
        count = copies_of(K * N * self.bits // 8, self.args, m)
        layers = [self.layer(i, (f"x{i}", f"x{i + 1}")) for i in range(count)]
        value = helper.make_tensor_value_info
        graph = helper.make_graph([node for node, _ in layers], "chain",
                                  [value("x0", onnx.TensorProto.FLOAT, [m, K])],
                                  [value(f"x{count}", onnx.TensorProto.FLOAT, [m, N])],
                                  [t for _, tensors in layers for t in tensors])
        model = helper.make_model(graph, ir_version=9, opset_imports=[
            helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)])
        options = self.runtime.SessionOptions()
        options.intra_op_num_threads = self.args.threads
        session = self.runtime.InferenceSession(model.SerializeToString(), options,
                                                providers=["CPUExecutionProvider"])
        x = np.random.default_rng(1).standard_normal((m, K), dtype=np.float32)
        us = median_us(lambda _: session.run(None, {"x0": x}), 1, self.args.seconds) / count
        return us, None


PEERS = {
    "torch_linear_bf16": lambda args: Dense(args, False),
    "onednn_packed_bf16": lambda args: Dense(args, True),
    "onednn_qlinear_s8s8": lambda args: Int8(args, True),
    "torch_int_mm_s8": lambda args: Int8(args, False),
    "torch_int4pack_bf16": Int4,
    "aocl_bf16u4": lambda args: Aocl(args, "w4a16"),
    "aocl_dq8": lambda args: Aocl(args, "w8a8"),
    "aocl_bf16": lambda args: Aocl(args, "dense_bf16"),
    "ort_nb4": lambda args: Onnx(args, 4),
    "ort_dq8": lambda args: Onnx(args, 8),
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--m", default="1,4,16,64,512")
    parser.add_argument("--n", type=int, default=N)
    parser.add_argument("--set", type=int, default=768)
    parser.add_argument("--seconds", type=float, default=0.25)
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    globals()["N"] = args.n
    try:
        import torch
        torch.set_num_threads(args.threads)
    except ImportError:
        pass
    for name in args.names or PEERS:
        try:
            peer = PEERS[name](args)
            for m in map(int, args.m.split(",")):
                us, err = peer.time(m)
                print(json.dumps({"op": peer.op, "peer": name, "m": m, "k": K, "n": N,
                                  "threads": args.threads, "us": round(us, 1),
                                  "err": err and float(f"{err:.1e}")}),
                      flush=True)
        except Exception as error:  # pylint: disable=broad-except
            print(f"{name}: {str(error)[:500]}", file=sys.stderr, flush=True)


main()
