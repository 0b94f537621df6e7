import { createHash } from 'node:crypto'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { RuntimeLibrary } from '@skerry/contracts'
import { thisMachine } from '@skerry/runtimes'
import { afterEach, describe, expect, it } from 'vitest'
import { assignInference } from './assignments.ts'
import type { ControlPlane } from './control-plane.ts'
import { faceDetector } from './models.ts'
import { Fleet, liteRtLibrary } from './running-agent.ts'

const fleet = new Fleet()
afterEach(() => fleet.close())

const auto = { runtime: undefined as never }
const model = faceDetector()

async function offer(controlPlane: ControlPlane, bytes: Uint8Array, changes: Partial<RuntimeLibrary> = {}) {
  const library: RuntimeLibrary = {
    kind: 'runtime-library',
    runtime: 'litert',
    version: '2.3.0',
    sha256: controlPlane.addBlob(bytes),
    bytes: bytes.byteLength,
    arch: process.arch,
    libc: { name: 'glibc', version: '2.27' },
    ...changes
  }
  controlPlane.libraries = [{ library, signature: controlPlane.signManifest(library) }]
  return library
}

/** A control plane that offers before the agent comes; the agent has no library of its own. */
async function joinWith(prepare: (controlPlane: ControlPlane) => Promise<unknown>) {
  const controlPlane = await fleet.controlPlane()
  await prepare(controlPlane)
  const options = { url: controlPlane.url, token: 'join-me', dataDir: await fleet.dataDir(), ...auto }
  const agent = await fleet.run(options)
  await controlPlane.session(1)
  return { controlPlane, agent, options }
}

const toldWhy = async (controlPlane: ControlPlane): Promise<string | undefined> =>
  (await controlPlane.frame('facts')).frame.facts.unavailableRuntimes?.[0]?.reason

describe('LiteRT from the control plane, on a device that has none', () => {
  it('is fetched over a cut, kept, used, and used again after a restart without a transfer', async ({ skip }) => {
    if (liteRtLibrary === undefined) return skip('set-up has not run: there is no LiteRT')
    const bytes = await readFile(liteRtLibrary)
    const { controlPlane, agent, options } = await joinWith(async (controlPlane) => {
      const { sha256 } = await offer(controlPlane, bytes)
      controlPlane.cuts.set(sha256, [{ afterBytes: 3_000_000 }])
    })
    expect(agent.runtimes.map(({ name }) => name)).not.toContain('litert')
    const { facts } = (await controlPlane.frame('facts')).frame
    expect(facts.runtimes[0]).toMatchObject({ name: 'litert', version: '2.3.0' })
    expect(facts.unavailableRuntimes).toBeUndefined()
    expect(controlPlane.blobRequests.map(({ status }) => status)).toEqual([200, 206])

    const wish = controlPlane.place('faces', model.bytes, 'litert', { names: model.names })
    controlPlane.send({ type: 'desired', artifacts: [wish] })
    const { frame } = await controlPlane.result(assignInference(controlPlane, { artifact: wish.artifact, model }))
    expect(frame).toMatchObject({ runtime: 'litert' })

    await agent.stop()
    const requests = controlPlane.blobRequests.length
    const again = await fleet.run(options)
    await controlPlane.session(2)
    expect(again.runtimes[0]?.name).toBe('litert')
    expect(controlPlane.blobRequests.length).toBe(requests)
    await again.stop()

    // A file that was changed since is found by its hash, and fetched anew.
    const folder = join(options.dataDir, 'libraries')
    const name = (await readdir(folder)).find((each) => /^[0-9a-f]{64}$/.test(each)) ?? ''
    await writeFile(join(folder, name), Buffer.alloc(bytes.byteLength))
    const mended = await fleet.run(options)
    expect(mended.runtimes.map(({ name }) => name)).not.toContain('litert')
    await controlPlane.frame('facts', ({ facts }, { session }) => session === 3 && facts.runtimes[0]?.name === 'litert')
    expect(bytes.equals(await readFile(join(folder, name)))).toBe(true)
  }, 60_000)

  it('is not used when another key signed it', async () => {
    const bytes = new Uint8Array(100)
    const { controlPlane } = await joinWith(async (controlPlane) => {
      const library = await offer(controlPlane, bytes)
      const other = await fleet.controlPlane()
      controlPlane.libraries = [{ library, signature: other.signManifest(library) }]
    })
    expect(await toldWhy(controlPlane)).toMatch(/LiteRT 2\.3\.0 .* is not signed by the control plane/)
    expect(controlPlane.blobRequests).toEqual([])
  })

  it('is not used when it is signed and unknown, for another machine, or newer than the C library', async () => {
    const bytes = new Uint8Array(100)
    const unknown = await joinWith((controlPlane) => offer(controlPlane, bytes))
    expect(await toldWhy(unknown.controlPlane)).toMatch(/is not one that was tried with this agent/)
    const foreign = await joinWith((controlPlane) => offer(controlPlane, bytes, { arch: 'riscv64' }))
    expect(await toldWhy(foreign.controlPlane)).toMatch(/\(riscv64, glibc 2\.27\) is not for/)
    const libc = { name: 'glibc' as const, version: '9.0' }
    const newer = await joinWith((controlPlane) => offer(controlPlane, bytes, { libc }))
    expect(await toldWhy(newer.controlPlane)).toContain(`needs a newer glibc than ${thisMachine().glibc}`)
    expect(newer.agent.runtimes.map(({ name }) => name)).not.toContain('litert')
  }, 30_000)

  it('is not asked for where another runtime was chosen, and its absence is told', async () => {
    const none = await joinWith(async (controlPlane) => {
      controlPlane.libraries = []
    })
    expect(await toldWhy(none.controlPlane)).toBe('The control plane offers no LiteRT library.')
    const { controlPlane } = await fleet.join({ runtime: 'tfjs-tflite' })
    await controlPlane.frame('heartbeat')
    expect(controlPlane.received.filter(({ frame }) => frame.type === 'facts')).toEqual([])
  })

  it('does not take bytes of another hash, whatever the statement says', async ({ skip }) => {
    if (liteRtLibrary === undefined) return skip('set-up has not run: there is no LiteRT')
    const real = await readFile(liteRtLibrary)
    const sha256 = createHash('sha256').update(real).digest('hex')
    const { controlPlane, options } = await joinWith(async (controlPlane) => {
      const forged = Uint8Array.from(real)
      forged[1_000_000] = (forged[1_000_000] ?? 0) ^ 1
      await offer(controlPlane, forged, { sha256 })
      controlPlane.blobs.set(sha256, forged)
    })
    expect(await toldWhy(controlPlane)).toMatch(/have another hash/)
    expect((await readdir(join(options.dataDir, 'libraries'))).filter((name) => !name.endsWith('.part'))).toEqual([])
  })
})
