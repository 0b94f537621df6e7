import { afterEach, describe, expect, it } from 'vitest'
import { NetworkMeter } from '../src/network-meter.ts'
import { faceDetector } from './models.ts'
import { Fleet } from './running-agent.ts'

const fleet = new Fleet()
afterEach(() => fleet.close())

describe('the way to the control plane', () => {
  it('is unknown before a transfer, and then what the last few told', () => {
    const meter = new NetworkMeter()
    expect(meter.facts()).toEqual({})
    meter.answered(10)
    meter.transferred(1_000_000, 100)
    expect(meter.facts()).toEqual({ firstByteMs: 10, downloadBytesPerSecond: 10_000_000 })
    meter.answered(20)
    meter.transferred(1_000_000, 50)
    expect(meter.facts()).toEqual({ firstByteMs: 13, downloadBytesPerSecond: 13_000_000 })
  })

  it('is not judged by small files', () => {
    const meter = new NetworkMeter()
    meter.transferred(1_000, 100)
    expect(meter.facts()).toEqual({})
  })

  it('is told in the health of a device that fetched a model', async () => {
    const { controlPlane } = await fleet.join()
    const model = faceDetector()
    const wish = controlPlane.place('faces', model.bytes, 'tfjs-tflite', { names: model.names })
    controlPlane.send({ type: 'desired', artifacts: [wish] })
    await controlPlane.frame('placement', ({ state }) => state === 'ready')
    const { frame } = await controlPlane.frame('heartbeat', ({ health }) => health.downloadBytesPerSecond !== undefined)
    expect(frame.health.downloadBytesPerSecond).toBeGreaterThan(10_000)
    expect(frame.health.firstByteMs).toBeGreaterThan(0)
  })
})
