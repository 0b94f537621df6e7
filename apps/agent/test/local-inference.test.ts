import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Histogram } from '@skerry/telemetry'
import { afterEach, describe, expect, it } from 'vitest'
import type { AgentOptions } from '../src/index.ts'
import { assignInference, outputsOf } from './assignments.ts'
import { binaryCall, call } from './local-client.ts'
import { faceDetector } from './models.ts'
import { Fleet, type Setting } from './running-agent.ts'

const fleet = new Fleet()
afterEach(() => fleet.close())

const model = faceDetector()
const side = Math.sqrt(model.inputElements / 3)
const ramp = (batch = 1): Float32Array =>
  Float32Array.from({ length: batch * model.inputElements }, (_, i) => Math.sin(i))
const bytesOf = (values: Float32Array): Uint8Array => new Uint8Array(values.buffer)
const header = { name: model.input, datatype: 'FP32', shape: [1, side, side, 3] }
const binaryInput = (values = ramp()) => ({ ...header, parameters: { binary_data_size: values.byteLength } })

async function serving(options: Partial<AgentOptions> = {}): Promise<Setting & { address: string; artifact: string }> {
  const setting = await fleet.join({ local: 0, ...options })
  const { controlPlane, agent } = setting
  controlPlane.desired = [
    controlPlane.place('faces', model.bytes, 'tfjs-tflite', { names: model.names, model: 'face' })
  ]
  controlPlane.send({ type: 'desired', artifacts: controlPlane.desired })
  await controlPlane.frame('placement', ({ state }) => state === 'ready')
  return { ...setting, address: agent.localAddress ?? '', artifact: controlPlane.desired[0]?.artifact ?? '' }
}

describe('local inference', () => {
  it('tells what it is, what it serves, and in which tensors', async () => {
    const { address } = await serving()
    expect((await call(address, '/v2/health/live')).json()).toEqual({ live: true })
    expect(await call(address, '/v2/health/ready')).toMatchObject({ status: 200 })
    expect((await call(address, '/v2')).json()).toMatchObject({ extensions: ['binary_tensor_data'] })
    expect((await call(address, '/v2/models/face/ready')).status).toBe(200)
    expect((await call(address, '/v2/models/face/versions/1/ready')).status).toBe(200)
    const metadata = (await call(address, '/v2/models/face/versions/1')).json()
    expect(metadata).toMatchObject({ name: 'face', versions: ['1'], platform: 'tensorflow_tflite', inputs: [header] })
    expect((metadata.outputs as { name: string }[]).map(({ name }) => name)).toEqual(model.outputs)
  })

  it('answers what a job answers, in JSON and in binary, batches too, and counts it as latency', async () => {
    const { controlPlane, address, artifact } = await serving()
    const job = await controlPlane.result(assignInference(controlPlane, { artifact, model, batch: 2 }))
    const expected = outputsOf(controlPlane, job)
    const [name = ''] = model.outputs
    const rows = { ...binaryInput(ramp(2)), shape: [2, side, side, 3] }

    const binary = await call(
      address,
      '/v2/models/face/infer',
      binaryCall({ id: 'mine', inputs: [rows], parameters: { binary_data_output: true } }, bytesOf(ramp(2)))
    )
    expect(binary.status).toBe(200)
    const headerBytes = Number(binary.headers['inference-header-content-length'])
    const said = JSON.parse(binary.body.toString('utf8', 0, headerBytes))
    expect(said).toMatchObject({ id: 'mine', model_name: 'face', model_version: '1' })
    let at = headerBytes
    for (const output of said.outputs) {
      const bytes = Uint8Array.from(binary.body.subarray(at, at + output.parameters.binary_data_size))
      at += bytes.byteLength
      expect(new Float32Array(bytes.buffer)).toEqual(expected.get(output.name))
    }
    expect(at).toBe(binary.body.byteLength)

    const nested = [[...ramp(2).subarray(0, 10)], [...ramp(2).subarray(10)]]
    const json = await call(address, '/v2/models/face/versions/1/infer', {
      body: JSON.stringify({ inputs: [{ ...header, shape: [2, side, side, 3], data: nested }], outputs: [{ name }] })
    })
    const { outputs } = json.json() as { outputs: { name: string; shape: number[]; data: number[] }[] }
    expect(outputs.map((output) => output.name)).toEqual([name])
    expect(Float32Array.from(outputs[0]?.data ?? [])).toEqual(expected.get(name))
    expect(outputs[0]?.shape).toEqual(job.frame.outputs?.[0]?.shape)

    const { frame } = await controlPlane.frame('latency')
    expect(frame.series).toMatchObject([{ deployment: 'faces', artifact }])
    expect(Histogram.fromJSON(frame.series[0]?.histogram).count).toBe(3)
  })

  it('goes on without the network, also after a start without it', async () => {
    const { controlPlane, agent, options, address } = await serving()
    const request = binaryCall({ inputs: [binaryInput()] }, bytesOf(ramp()))
    await controlPlane.stop()
    const online = await call(address, '/v2/models/face/infer', request)
    expect(online.status).toBe(200)
    await agent.stop()
    const again = await fleet.run(options)
    const offline = await call(again.localAddress ?? '', '/v2/models/face/infer', request)
    expect(offline.json()).toEqual(online.json())
  })

  it('trusts what it kept for such a start no more than a frame', async () => {
    const { controlPlane, agent, options, dataDir } = await serving()
    await controlPlane.stop()
    await agent.stop()
    const forged = controlPlane.desired.map((wish) => ({ ...wish, manifest: { ...wish.manifest, model: 'forged' } }))
    await writeFile(join(dataDir, 'desired.json'), JSON.stringify(forged))
    const again = await fleet.run(options)
    const request = binaryCall({ inputs: [binaryInput()] }, bytesOf(ramp()))
    const reply = await call(again.localAddress ?? '', '/v2/models/forged/infer', request)
    expect(reply).toMatchObject({ status: 503 })
    expect(reply.json().error).toMatch(/signature/)
  })

  it('listens on a socket that only its user may open, also where a killed agent left one', async () => {
    const path = join(await fleet.dataDir(), 'skerry.sock')
    const { agent, options } = await serving({ local: path })
    expect(agent.localAddress).toBe(path)
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect(
      (await call(path, '/v2/models/face/infer', binaryCall({ inputs: [binaryInput()] }, bytesOf(ramp())))).status
    ).toBe(200)
    await agent.stop()
    const listens = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => console.log('up'))`
    const killed = spawn(process.execPath, ['-e', listens], { stdio: ['ignore', 'pipe', 'ignore'] })
    await once(killed.stdout, 'data')
    await expect(fleet.run(options)).rejects.toThrow(/another program listens/)
    killed.kill('SIGKILL')
    await once(killed, 'exit')
    expect((await stat(path)).isSocket()).toBe(true)
    const again = await fleet.run(options)
    expect((await call(again.localAddress ?? '', '/v2/health/live')).status).toBe(200)
  })

  it('refuses in the words of the protocol', async () => {
    const { address } = await serving({ localMaxBodyBytes: 250_000 })
    const infer = '/v2/models/face/infer'
    const refusal = async (status: number, words: RegExp, path: string, request = {}): Promise<void> => {
      const reply = await call(address, path, request)
      expect(reply.json()).toEqual({ error: expect.stringMatching(words) })
      expect(reply.status).toBe(status)
    }
    const body = (value: object): { body: string } => ({ body: JSON.stringify(value) })
    await refusal(404, /not deployed/, '/v2/models/none')
    await refusal(404, /Version 2/, '/v2/models/face/versions/2/ready')
    await refusal(404, /nothing at/, '/v1/models')
    await refusal(405, /POST/, infer)
    await refusal(400, /not JSON/, infer, { body: '{' })
    await refusal(400, /inputs/, infer, body({ inputs: [] }))
    await refusal(400, /neither data/, infer, body({ inputs: [header] }))
    await refusal(400, /elements/, infer, body({ inputs: [{ ...header, data: [1, 2] }] }))
    await refusal(400, /datatype BYTES/, infer, body({ inputs: [{ ...header, datatype: 'BYTES', data: ['a'] }] }))
    await refusal(400, /no input/, infer, body({ inputs: [{ name: 'x', datatype: 'INT8', shape: [1], data: [1] }] }))
    await refusal(
      400,
      /300 does not fit UINT8/,
      infer,
      body({ inputs: [{ name: 'x', datatype: 'UINT8', shape: [1], data: [300] }] })
    )
    await refusal(
      400,
      /shape \[1, 3/,
      infer,
      binaryCall({ inputs: [{ ...binaryInput(), shape: [1, 3, side, side] }] }, bytesOf(ramp()))
    )
    await refusal(
      400,
      /no output/,
      infer,
      binaryCall({ inputs: [binaryInput()], outputs: [{ name: 'x' }] }, bytesOf(ramp()))
    )
    await refusal(
      400,
      /belong to no input/,
      infer,
      binaryCall({ inputs: [binaryInput()] }, bytesOf(ramp()), new Uint8Array(4))
    )
    await refusal(400, /does not hold/, infer, binaryCall({ inputs: [binaryInput()] }, new Uint8Array(4)))
    await refusal(
      400,
      /shared_memory_region/,
      infer,
      body({ inputs: [{ ...header, parameters: { shared_memory_region: 'r' } }] })
    )
    await refusal(413, /at most 250000/, infer, { body: Buffer.alloc(400_000) })
    await refusal(
      504,
      /within 1 ms/,
      infer,
      binaryCall({ inputs: [binaryInput()], parameters: { timeout: 1 } }, bytesOf(ramp()))
    )
    await refusal(415, /gzip/, infer, { body: '{}', headers: { 'content-encoding': 'gzip' } })
    await refusal(403, /on this device/, '/v2', { headers: { host: 'evil.example' } })
    await refusal(403, /on this device/, '/v2', { headers: { origin: 'http://evil.example' } })
    // After all that it still serves.
    expect((await call(address, infer, binaryCall({ inputs: [binaryInput()] }, bytesOf(ramp())))).status).toBe(200)
  })
})
