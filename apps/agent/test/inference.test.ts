import { INLINE_TENSOR_BYTES } from '@skerry/contracts'
import { Histogram } from '@skerry/telemetry'
import { afterEach, describe, expect, it } from 'vitest'
import { assignInference, outputsOf } from './assignments.ts'
import { faceDetector } from './models.ts'
import { Fleet, liteRtLibrary } from './running-agent.ts'

const fleet = new Fleet()
afterEach(() => fleet.close())

const model = faceDetector()
const runtimes = liteRtLibrary === undefined ? (['tfjs-tflite'] as const) : (['litert', 'tfjs-tflite'] as const)

describe.each(runtimes)('inference on %s', (runtime) => {
  const options = { runtime, ...(liteRtLibrary === undefined ? {} : { liteRtLibrary, liteRtVersion: '2.3.0' }) }

  it('joins, pulls, verifies, loads, and answers a job with the tensors that were asked for', async () => {
    const { controlPlane } = await fleet.join(options)
    const wish = controlPlane.place('faces', model.bytes, runtime, { names: model.names })
    controlPlane.send({ type: 'desired', artifacts: [wish] })
    const ready = await controlPlane.frame('placement', ({ state }) => state === 'ready')
    expect(ready.frame).toMatchObject({ deployment: 'faces', artifact: wish.artifact, loadMs: expect.any(Number) })
    const states = controlPlane.received.flatMap(({ frame }) => (frame.type === 'placement' ? [frame.state] : []))
    expect([...new Set(states)]).toEqual(['pending', 'fetching', 'verifying', 'loading', 'checking', 'ready'])

    const jobId = assignInference(controlPlane, { artifact: wish.artifact, model })
    const { frame, body } = await controlPlane.result(jobId)
    expect(frame.error).toBeUndefined()
    expect(frame.runtime).toBe(runtime)
    expect(frame.timings?.inferenceMs).toBeGreaterThan(0)
    expect(frame.timings?.deviceMs).toBeGreaterThanOrEqual(Math.floor(frame.timings?.inferenceMs ?? 0))
    expect(frame.outputs?.map(({ name }) => name)).toEqual(model.outputs)
    for (const tensor of frame.outputs ?? []) {
      expect(tensor.blob === undefined).toBe(tensor.bytes <= INLINE_TENSOR_BYTES)
    }
    const outputs = outputsOf(controlPlane, { frame, body })
    for (const values of outputs.values()) {
      expect(values.every(Number.isFinite)).toBe(true)
      expect(new Set(values).size).toBeGreaterThan(10)
    }
    controlPlane.ack(frame)

    const { frame: latency } = await controlPlane.frame('latency')
    expect(latency.series).toMatchObject([{ deployment: 'faces', artifact: wish.artifact, runtime }])
    expect(Histogram.fromJSON(latency.series[0]?.histogram).count).toBe(1)
    controlPlane.send({ type: 'latency-ack', seq: latency.seq })
  })

  it('runs a batch on a file of batch 1 row by row', async () => {
    const { controlPlane } = await fleet.join(options)
    const wish = controlPlane.place('faces', model.bytes, runtime, { names: model.names })
    controlPlane.send({ type: 'desired', artifacts: [wish] })
    const [one, two] = [1, 2].map((batch) => assignInference(controlPlane, { artifact: wish.artifact, model, batch }))
    const single = await controlPlane.result(one ?? '')
    const double = await controlPlane.result(two ?? '')
    const name = model.outputs[0] ?? ''
    const expected = outputsOf(controlPlane, single).get(name) ?? new Float32Array(0)
    const both = outputsOf(controlPlane, double).get(name) ?? new Float32Array(0)
    expect(both.length).toBe(2 * expected.length)
    expect(both.subarray(0, expected.length)).toEqual(expected)
    // The ramp goes on in the second row, so its answer is another.
    expect(both.subarray(expected.length)).not.toEqual(expected)
    expect(double.frame.outputs?.[0]?.shape[0]).toBe(2)
  })
})
