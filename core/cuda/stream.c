// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "gpu.h"

int32_t
dlq_gpu_copy(int32_t index, void *dst, size_t dst_pitch, const void *src, size_t src_pitch,
             size_t width, size_t rows, void *stream, struct dlq_error *err)
{
    const bool one = rows == 1 || (dst_pitch == width && src_pitch == width);
    const cudaError_t rc =
        one ? cudaMemcpyAsync(dst, src, width * rows, cudaMemcpyDeviceToDevice, stream)
            : cudaMemcpy2DAsync(dst, dst_pitch, src, src_pitch, width, rows,
                                cudaMemcpyDeviceToDevice, stream);
    return dlq_gpu_result(index, "copying", rc, err);
}

int32_t
dlq_gpu_stream_create(int32_t index, void **out, struct dlq_error *err)
{
    cudaStream_t stream = NULL;
    cudaError_t rc = dlq_gpu_enter(index);
    if (rc == cudaSuccess) {
        rc = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
        dlq_gpu_leave();
    }
    *out = stream;
    return dlq_gpu_result(index, "making a stream", rc, err);
}

void
dlq_gpu_stream_destroy(int32_t index, void *stream)
{
    if (dlq_gpu_enter(index) == cudaSuccess) {
        (void)cudaStreamDestroy(stream);
        dlq_gpu_leave();
    }
}

int32_t
dlq_gpu_stream_synchronize(int32_t index, void *stream, struct dlq_error *err)
{
    cudaError_t rc = dlq_gpu_enter(index);
    if (rc == cudaSuccess) {
        rc = cudaStreamSynchronize(stream);
        dlq_gpu_leave();
    }
    return dlq_gpu_result(index, "waiting for a stream", rc, err);
}

int32_t
dlq_gpu_transfer(int32_t index, void *dst, const void *src, size_t size, void *stream,
                 struct dlq_error *err)
{
    cudaError_t rc = dlq_gpu_enter(index);
    if (rc == cudaSuccess) {
        rc = cudaMemcpyAsync(dst, src, size, cudaMemcpyDefault, stream);
        rc = rc == cudaSuccess ? cudaStreamSynchronize(stream) : rc;
        dlq_gpu_leave();
    }
    return dlq_gpu_result(index, "copying between host and device", rc, err);
}

int32_t
dlq_gpu_capture_begin(int32_t index, void *stream, struct dlq_error *err)
{
    // Other threads may allocate and load meanwhile; this one may not.
    const cudaError_t rc = cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
    return dlq_gpu_result(index, "beginning to capture a stream", rc, err);
}

int32_t
dlq_gpu_capture_end(int32_t index, void *stream, void **graph, struct dlq_error *err)
{
    cudaGraph_t captured = NULL;
    cudaGraphExec_t exec = NULL;
    cudaError_t rc = cudaStreamEndCapture(stream, &captured);
    const int32_t status = dlq_gpu_result(index, "capturing a stream", rc, err);
    if (status != DLQ_OK) {
        return status;
    }
    rc = dlq_gpu_enter(index);
    if (rc == cudaSuccess) {
        rc = cudaGraphInstantiateWithFlags(&exec, captured, 0);
        dlq_gpu_leave();
    }
    (void)cudaGraphDestroy(captured);
    *graph = exec;
    return dlq_gpu_result(index, "making a graph", rc, err);
}

int32_t
dlq_gpu_graph_launch(int32_t index, void *graph, void *stream, struct dlq_error *err)
{
    return dlq_gpu_result(index, "launching a graph", cudaGraphLaunch(graph, stream), err);
}

void
dlq_gpu_graph_destroy(int32_t index, void *graph)
{
    if (dlq_gpu_enter(index) == cudaSuccess) {
        (void)cudaGraphExecDestroy(graph);
        dlq_gpu_leave();
    }
}

int32_t
dlq_gpu_event_create(int32_t index, void **out, struct dlq_error *err)
{
    cudaEvent_t event = NULL;
    cudaError_t rc = dlq_gpu_enter(index);
    if (rc == cudaSuccess) {
        rc = cudaEventCreate(&event);
        dlq_gpu_leave();
    }
    *out = event;
    return dlq_gpu_result(index, "making an event", rc, err);
}

void
dlq_gpu_event_destroy(int32_t index, void *event)
{
    if (dlq_gpu_enter(index) == cudaSuccess) {
        (void)cudaEventDestroy(event);
        dlq_gpu_leave();
    }
}

int32_t
dlq_gpu_event_record(int32_t index, void *event, void *stream, struct dlq_error *err)
{
    return dlq_gpu_result(index, "recording an event", cudaEventRecord(event, stream), err);
}

int32_t
dlq_gpu_event_elapsed(int32_t index, void *from, void *to, double *ms, struct dlq_error *err)
{
    float between = 0.0f;
    cudaError_t rc = cudaEventSynchronize(from);
    if (rc == cudaSuccess) {
        rc = cudaEventSynchronize(to);
    }
    if (rc == cudaSuccess) {
        rc = cudaEventElapsedTime(&between, from, to);
    }
    *ms = (double)between;
    return dlq_gpu_result(index, "taking the time", rc, err);
}
