import { afterEach, describe, expect, it } from 'vitest'
import { assignInference } from './assignments.ts'
import { binaryCall, call } from './local-client.ts'
import { faceDetector } from './models.ts'
import { Fleet } from './running-agent.ts'
import { SystemTree } from './system-tree.ts'

const fleet = new Fleet()
const trees: SystemTree[] = []
afterEach(async () => {
  await fleet.close()
  await Promise.all(trees.splice(0).map((tree) => tree.remove()))
})

const model = faceDetector()

async function treeOf(files: Record<string, string | number>): Promise<SystemTree> {
  const tree = await SystemTree.make(files)
  trees.push(tree)
  return tree
}

describe('a device at its limits', () => {
  it('refuses jobs and local requests with the reason, says so in its health, and stays ready', async () => {
    const tree = await treeOf({ 'sys/class/thermal/thermal_zone0/temp': 97_000 })
    const { controlPlane, agent } = await fleet.join({ systemRoot: tree.root, local: 0 })
    const wish = controlPlane.place('faces', model.bytes, 'tfjs-tflite', { names: model.names, model: 'face' })
    controlPlane.send({ type: 'desired', artifacts: [wish] })
    await controlPlane.frame('placement', ({ state }) => state === 'ready')
    const { frame } = await controlPlane.result(assignInference(controlPlane, { artifact: wish.artifact, model }))
    expect(frame.error).toMatchObject({
      code: 'agent-failed',
      retryable: true,
      message: expect.stringMatching(/97 °C/)
    })
    const input = { name: model.input, datatype: 'FP32', shape: [1, 1], parameters: { binary_data_size: 4 } }
    const request = binaryCall({ inputs: [input] }, new Uint8Array(4))
    const local = await call(agent.localAddress ?? '', '/v2/models/face/infer', request)
    expect(local.status).toBe(503)
    expect(local.json().error).toMatch(/97 °C/)
    const { health } = (await controlPlane.frame('heartbeat', ({ health }) => health.refusing !== undefined)).frame
    expect(health).toMatchObject({ temperatureC: 97, refusing: expect.stringMatching(/97 °C/) })
  })

  it('takes as many inferences at once as its share of a machine bears, and says what that share is', async () => {
    const tree = await treeOf({
      'proc/self/cgroup': '0::/',
      'sys/fs/cgroup/memory.max': 1024 ** 3,
      'sys/fs/cgroup/memory.current': 1024 ** 2,
      'sys/fs/cgroup/cpu.max': '100000 100000'
    })
    const { controlPlane } = await fleet.join({ systemRoot: tree.root, slots: 'auto' })
    expect(controlPlane.enrolled).toMatchObject([{ slots: { infer: 1 }, facts: { cores: 1, memoryBytes: 1024 ** 3 } }])
  })

  it('sends all that it knows of its health in less than 1 KB', async () => {
    const tree = await treeOf({
      'sys/class/thermal/thermal_zone0/temp': 97_000,
      'sys/devices/platform/soc/soc:firmware/get_throttled': 'f000f',
      'sys/class/power_supply/BAT0/type': 'Battery',
      'sys/class/power_supply/BAT0/capacity': 2,
      'sys/class/power_supply/BAT0/status': 'Discharging'
    })
    const { controlPlane } = await fleet.join({ systemRoot: tree.root })
    const { frame } = await controlPlane.frame('heartbeat', ({ health }) => health.refusing !== undefined)
    expect(frame.health).toMatchObject({
      temperatureC: 97,
      throttled: true,
      undervoltage: true,
      queueDepth: 0,
      eventLoopLagMs: expect.any(Number),
      diskFreeBytes: expect.any(Number),
      loadAverage: expect.any(Number)
    })
    expect(JSON.stringify(frame).length).toBeLessThan(1_000)
  })
})
