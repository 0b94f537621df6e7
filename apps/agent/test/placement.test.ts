import { randomBytes } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { assignInference } from './assignments.ts'
import { faceDetector, realModel } from './models.ts'
import { Fleet } from './running-agent.ts'

const fleet = new Fleet()
afterEach(() => fleet.close())

const model = faceDetector()
const runtime = 'tfjs-tflite' as const

describe('a placement', () => {
  it('is refused when the manifest is not signed, signed by another, or for another artifact', async () => {
    const { controlPlane } = await fleet.join()
    const good = controlPlane.place('good', model.bytes, runtime, { names: model.names })
    const stranger = await fleet.controlPlane()
    const other = controlPlane.addBlob(randomBytes(good.manifest.bytes))
    controlPlane.send({
      type: 'desired',
      artifacts: [
        { ...good, deployment: 'unsigned', signature: '' },
        { ...good, deployment: 'garbled', signature: 'AAAA' },
        { ...good, deployment: 'stranger', signature: stranger.signManifest(good.manifest) },
        { ...good, deployment: 'changed', manifest: { ...good.manifest, variant: 'full_int8' } },
        { ...good, deployment: 'swapped', artifact: other },
        good
      ]
    })
    await controlPlane.frame('placement', ({ deployment, state }) => deployment === 'good' && state === 'ready')
    for (const deployment of ['unsigned', 'garbled', 'stranger', 'changed', 'swapped']) {
      const failed = await controlPlane.frame(
        'placement',
        (frame) => frame.deployment === deployment && frame.state === 'failed'
      )
      expect(failed.frame.reason).toMatch(/sign|for artifact/)
    }
    const loaded = controlPlane.received.filter(({ frame }) => frame.type === 'placement' && frame.state === 'loading')
    expect(loaded.map(({ frame }) => frame.type === 'placement' && frame.deployment)).toEqual(
      expect.arrayContaining(['good'])
    )
    expect(new Set(loaded.map(({ frame }) => frame.type === 'placement' && frame.deployment)).size).toBe(1)
  })

  it('is refused when its artifact is older than this device takes, genuine as it is', async () => {
    const { controlPlane } = await fleet.join({ oldestArtifact: '2026-01-02' })
    const old = controlPlane.place('old', model.bytes, runtime, { names: model.names })
    controlPlane.send({ type: 'desired', artifacts: [old] })
    const { frame } = await controlPlane.frame('placement', ({ state }) => state === 'failed')
    expect(frame.reason).toMatch(/made at 2026-01-01.*none from before 2026-01-02/)
    const manifest = { ...old.manifest, createdAt: '2026-01-02T00:00:00Z' }
    const signature = controlPlane.signManifest(manifest)
    controlPlane.send({ type: 'desired', artifacts: [{ ...old, deployment: 'new', manifest, signature }] })
    await controlPlane.frame('placement', ({ deployment, state }) => deployment === 'new' && state === 'ready')
  })

  it("fails with the runtime's own words when the runtime cannot run the file", async () => {
    const { controlPlane } = await fleet.join()
    const wish = controlPlane.place('junk', randomBytes(5_000), runtime, { names: model.names })
    controlPlane.send({ type: 'desired', artifacts: [wish] })
    const { frame } = await controlPlane.frame('placement', ({ state }) => state === 'failed')
    expect(frame.reason?.length).toBeGreaterThan(10)
  })

  it('fails when the control plane has no such blob', async () => {
    const { controlPlane } = await fleet.join()
    const wish = controlPlane.place('gone', model.bytes, runtime, { names: model.names })
    controlPlane.blobs.delete(wish.artifact)
    controlPlane.send({ type: 'desired', artifacts: [wish] })
    const { frame } = await controlPlane.frame('placement', ({ state }) => state === 'failed')
    expect(frame.reason).toMatch(/no blob/)
  })

  it('leaves memory, and the disk where there is no room to spare, when it is no longer wished for', async () => {
    const { controlPlane, dataDir } = await fleet.join({ cacheBytes: 1 })
    const faces = controlPlane.place('faces', model.bytes, runtime, { names: model.names })
    const selfie = realModel('@mediapipe/face_detection/face_detection_full_range.tflite')
    const other = controlPlane.place('other', selfie.bytes, runtime, { names: selfie.names })
    controlPlane.send({ type: 'desired', artifacts: [faces] })
    await controlPlane.frame('placement', ({ state }) => state === 'ready')
    controlPlane.send({ type: 'desired', artifacts: [other] })
    await controlPlane.frame('placement', ({ deployment, state }) => deployment === 'other' && state === 'ready')
    expect(await readdir(join(dataDir, 'artifacts'))).toEqual([other.artifact])
    const { frame } = await controlPlane.result(assignInference(controlPlane, { artifact: faces.artifact, model }))
    expect(frame.error).toMatchObject({ code: 'agent-failed', retryable: true })
  })

  it('needs no transfer when it is wished for again while its file is still in the cache', async () => {
    const { controlPlane } = await fleet.join()
    const wish = controlPlane.place('faces', model.bytes, runtime, { names: model.names })
    controlPlane.send({ type: 'desired', artifacts: [wish] })
    await controlPlane.frame('placement', ({ state }) => state === 'ready')
    controlPlane.send({ type: 'desired', artifacts: [] })
    controlPlane.send({ type: 'desired', artifacts: [{ ...wish, deployment: 'again' }] })
    await controlPlane.frame('placement', ({ deployment, state }) => deployment === 'again' && state === 'ready')
    expect(controlPlane.blobRequests).toHaveLength(1)
  })

  it('needs no transfer after a restart of the agent', async () => {
    const { controlPlane, agent, options } = await fleet.join()
    controlPlane.desired = [controlPlane.place('faces', model.bytes, runtime, { names: model.names })]
    controlPlane.send({ type: 'desired', artifacts: controlPlane.desired })
    await controlPlane.frame('placement', ({ state }) => state === 'ready')
    await agent.stop()
    await fleet.run(options)
    await controlPlane.frame('placement', ({ state }, { session }) => state === 'ready' && session === 2)
    expect(controlPlane.blobRequests).toHaveLength(1)
  })
})

describe('a job', () => {
  it('fails with input-unavailable when its input is gone', async () => {
    const { controlPlane } = await fleet.join()
    const wish = controlPlane.place('faces', model.bytes, runtime, { names: model.names })
    controlPlane.send({ type: 'desired', artifacts: [wish] })
    await controlPlane.frame('placement', ({ state }) => state === 'ready')
    controlPlane.blobs.clear()
    const jobId = assignInference(controlPlane, { artifact: wish.artifact, model })
    for (const hash of controlPlane.blobs.keys()) controlPlane.blobs.delete(hash)
    expect((await controlPlane.result(jobId)).frame.error).toMatchObject({ code: 'input-unavailable' })
  })

  it('fails as invoke-failed when its input has another size than it says', async () => {
    const { controlPlane } = await fleet.join()
    const wish = controlPlane.place('faces', model.bytes, runtime, { names: model.names })
    controlPlane.send({ type: 'desired', artifacts: [wish] })
    const wrong = { ...model, inputElements: 48 }
    const jobId = assignInference(controlPlane, { artifact: wish.artifact, model: wrong, inline: true })
    expect((await controlPlane.result(jobId)).frame.error).toMatchObject({ code: 'invoke-failed', retryable: false })
  })
})
