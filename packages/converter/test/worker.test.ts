import { spawn } from 'node:child_process'
import { stat, symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { runPythonConverter } from '../src/python-converter.ts'
import { withResolvers } from '../src/with-resolvers.ts'
import { openWorkerBench, withoutNamespaces } from './worker-bench.ts'

let bench: Awaited<ReturnType<typeof openWorkerBench>>
beforeAll(async () => {
  bench = await openWorkerBench()
})
afterEach(() => bench.stop())
afterAll(() => bench.close())

const built = fileURLToPath(new URL('../dist/index.js', import.meta.url))

describe('a worker', () => {
  it('starts one process for many requests, and forks each', async () => {
    const worker = await bench.worker()
    await worker.start()
    const [zygote, ...others] = bench.processes()
    expect(others).toEqual([])
    const first = await bench.run(worker, { kind: 'say', text: 'one' })
    const second = await bench.run(worker, { kind: 'say', text: 'two' })
    expect([first.error, second.error]).toEqual([undefined, undefined])
    expect([first, second].map(({ events }) => events.map(({ event, text }) => text ?? event))).toEqual([
      ['isolated', 'one'],
      ['isolated', 'two']
    ])
    expect(bench.processes()).toEqual([zygote])
    await worker.stop()
    expect(bench.processes()).toEqual([])
  })

  it('gives what is printed to the request that printed it, from Python and from what it started', async () => {
    const { log } = await bench.run(await bench.worker(), { kind: 'say', text: '' })
    expect(log).toEqual(['said in Python', 'said by a child'])
  })

  it('does not mix the events of requests that run at the same time', async () => {
    const worker = await bench.worker()
    const texts = ['a', 'b', 'c']
    const runs = await Promise.all(texts.map((text) => bench.run(worker, { kind: 'many', text, count: 300 })))
    for (const [at, { error, events, log }] of runs.entries()) {
      expect(error).toBeUndefined()
      const said = events.filter(({ event }) => event === 'numbered')
      expect(said.map(({ text, number }) => `${text} ${number}`)).toEqual(
        Array.from({ length: 300 }, (_, number) => `${texts[at]} ${number}`)
      )
      expect(log).toEqual(said.map(({ text, number }) => `${text} ${number}`))
    }
  })

  it('lets no request speak for another, nor end before its process is gone', async () => {
    const worker = await bench.worker()
    const cancel = new AbortController()
    const { promise: waiting, resolve: begun } = withResolvers()
    const first = bench.run(
      worker,
      { kind: 'wait' },
      { signal: cancel.signal, onEvent: ({ event }) => event === 'waiting' && begun() }
    )
    await waiting
    const forging = await bench.run(worker, { kind: 'forge' })
    expect(forging.error).toBeUndefined()
    expect(forging.events.map(({ event }) => event)).toEqual(['isolated', 'said'])
    expect(forging.log).toEqual([])
    cancel.abort(new Error('enough'))
    expect(await first).toMatchObject({ error: { message: 'enough' }, log: [] })
  })

  it('gives each request an environment and a temporary folder of its own, and no open files of ours', async () => {
    process.env.SKERRY_TEST_SECRET = 'secret'
    const { events, workDir } = await bench.run(await bench.worker(), { kind: 'show' })
    delete process.env.SKERRY_TEST_SECRET
    const { environment, folder, open } = events.at(-1) as unknown as {
      environment: object
      folder: string
      open: number
    }
    const temporary = path.join(workDir, 'tmp')
    expect(folder).toBe(temporary)
    expect(environment).toMatchObject({ HOME: temporary, TMPDIR: temporary, KERAS_HOME: temporary })
    expect(Object.keys(environment)).not.toContain('SKERRY_TEST_SECRET')
    // 0, 1, 2, the pipe of events, and the folder that is being listed.
    expect(open).toBe(5)
    // Whoever it ran as, what it made belongs to whom the folder belongs to.
    expect((await stat(path.join(workDir, 'left'))).uid).toBe((await stat(workDir)).uid)
  })

  it('refuses to fork a process with more than one thread', async () => {
    const worker = await bench.worker({
      python: await bench.executable('python-with-threads', { args: ['two-threads'] })
    })
    const { error } = await bench.run(worker, { kind: 'say', text: '' })
    expect(error).toMatchObject({ code: 'converter-failed', message: expect.stringContaining('2 threads') })
  })

  it('does not keep Node from ending, and leaves nothing behind then', async () => {
    const script = path.join(bench.scratch, 'ends.mjs')
    const python = await bench.executable('python')
    await writeFile(
      script,
      `import { ConverterWorker } from ${JSON.stringify(built)}
      const worker = new ConverterWorker({ python: ${JSON.stringify(python)} })
      await worker.start()`
    )
    const child = spawn(process.execPath, [script], { stdio: 'inherit' })
    expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(0)
    await expect.poll(() => bench.processes()).toEqual([])
  })

  it('dies with Node, and so does what it runs', async () => {
    const script = path.join(bench.scratch, 'killed.mjs')
    const python = await bench.executable('python')
    const workDir = await bench.folder()
    const run = { workDir, temporaryFolder: path.join(workDir, 'tmp') }
    await writeFile(
      script,
      `import { ConverterWorker } from ${JSON.stringify(built)}
      const worker = new ConverterWorker({ python: ${JSON.stringify(python)} })
      const { workDir, temporaryFolder } = ${JSON.stringify(run)}
      const onEvent = ({ event }) => console.log(event)
      await worker.run({ kind: 'wait', workDir }, { temporaryFolder, signal: new AbortController().signal, onEvent })`
    )
    const child = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] })
    for await (const line of createInterface({ input: child.stdout })) if (line === 'waiting') break
    // The zygote, and of the request: the one that waits, the warden, the request itself and what it started.
    expect(bench.processes().length).toBeGreaterThanOrEqual(6)
    child.kill('SIGKILL')
    await expect.poll(() => bench.processes(), { timeout: 10_000 }).toEqual([])
  }, 30_000)
})

describe('what ends a request', () => {
  it('a cancellation kills its process with all that it started, and others go on', async () => {
    const worker = await bench.worker()
    await worker.start()
    const idle = bench.processes()
    const cancel = new AbortController()
    const onEvent = ({ event }: { event: string }) => event === 'waiting' && cancel.abort(new Error('enough'))
    const other = bench.run(worker, { kind: 'many', text: 'other', count: 2000 })
    const { error } = await bench.run(worker, { kind: 'wait' }, { signal: cancel.signal, onEvent })
    expect(error).toMatchObject({ message: 'enough' })
    expect((await other).error).toBeUndefined()
    expect(bench.processes()).toEqual(idle)
  })

  it.runIf(process.getuid?.() === 0)('a cancellation does so where there are no namespaces, too', async () => {
    const worker = await bench.worker({ python: await bench.executable('python-bare', { by: withoutNamespaces }) })
    await worker.start()
    const idle = bench.processes()
    const cancel = new AbortController()
    const onEvent = ({ event }: { event: string }) => event === 'waiting' && cancel.abort(new Error('enough'))
    const { error, events } = await bench.run(worker, { kind: 'wait' }, { signal: cancel.signal, onEvent })
    expect(error).toMatchObject({ message: 'enough' })
    expect(events[0]).toMatchObject({ event: 'isolated', namespaces: false, network: false, fileSystem: true })
    expect(bench.processes()).toEqual(idle)
  })

  it('a cancellation while the process starts starts nothing', async () => {
    const worker = await bench.worker()
    const run = bench.run(worker, { kind: 'wait' }, { signal: AbortSignal.timeout(1) })
    expect((await run).error).toMatchObject({ name: 'TimeoutError' })
    await worker.start()
    expect(bench.processes()).toHaveLength(1)
    await worker.stop()
  })

  it('an error in a listener kills it too', async () => {
    const worker = await bench.worker()
    const onEvent = ({ event }: { event: string }) => {
      if (event === 'waiting') throw new TypeError('in the listener')
    }
    const { error } = await bench.run(worker, { kind: 'wait' }, { onEvent })
    expect(error).toBeInstanceOf(TypeError)
    expect(bench.processes()).toHaveLength(1)
    await worker.stop()
  })

  it('its crash is told with the signal and its last words, and costs nobody else anything', async () => {
    const worker = await bench.worker()
    const { error } = await bench.run(worker, { kind: 'crash' })
    expect(error).toMatchObject({ code: 'converter-crashed', lastLines: expect.arrayContaining(['about to crash']) })
    expect((error as Error).message).toContain('SIGABRT')
    expect((await bench.run(worker, { kind: 'say', text: '' })).error).toBeUndefined()
  })

  it('the death of the whole process is told, and the next request starts another', async () => {
    const worker = await bench.worker()
    let zygote: number | undefined
    const onEvent = ({ event }: { event: string }) => {
      if (event !== 'waiting') return
      zygote = bench.processes().find(({ parent }) => parent === process.pid)?.pid
      if (zygote !== undefined) process.kill(zygote, 'SIGKILL')
    }
    const { error } = await bench.run(worker, { kind: 'wait' }, { onEvent })
    expect(error).toMatchObject({ code: 'converter-crashed', message: expect.stringContaining('SIGKILL') })
    const next = await bench.run(worker, { kind: 'say', text: 'again' })
    expect(next.error).toBeUndefined()
    await expect.poll(() => bench.processes().map(({ parent }) => parent)).toEqual([process.pid])
    expect(bench.processes()[0]?.pid).not.toBe(zygote)
  })

  it('stopping the worker ends what runs', async () => {
    const worker = await bench.worker()
    const onEvent = ({ event }: { event: string }) => void (event === 'waiting' && worker.stop())
    const { error } = await bench.run(worker, { kind: 'wait' }, { onEvent })
    expect(error).toMatchObject({ code: 'converter-crashed' })
    await worker.stop()
    expect(bench.processes()).toEqual([])
  })

  it('an unknown kind of request is refused', async () => {
    const { error } = await bench.run(await bench.worker(), { kind: 'dance' })
    expect(error).toMatchObject({ code: 'converter-failed', message: expect.stringContaining('dance') })
  })
})

describe('limits', () => {
  const limited = async (kind: string, limits: Record<string, number>) =>
    bench.run(await bench.worker({ limits }), { kind })

  it('memory', async () => {
    const { error } = await limited('allocate', { memoryBytes: 512 << 20 })
    expect(error).toMatchObject({ code: 'converter-out-of-memory' })
  })

  it('time on the processor', async () => {
    const { error } = await limited('loop', { cpuSeconds: 1 })
    expect(error).toMatchObject({ code: 'converter-timeout', message: expect.stringContaining('SIGXCPU') })
  })

  it('the size of one file', async () => {
    const { error, workDir } = await limited('write_one', { fileBytes: 5 << 20 })
    expect(error).toMatchObject({ code: 'converter-disk-limit' })
    expect((await stat(path.join(workDir, 'one'))).size).toBe(5 << 20)
  })

  it('the size of the folder', async () => {
    const { error } = await limited('fill', { diskBytes: 20 << 20 })
    expect(error).toMatchObject({ code: 'converter-disk-limit' })
  })

  it('what it prints, without holding up its cancellation', async () => {
    const cancel = new AbortController()
    const timer = setTimeout(() => cancel.abort(new Error('enough')), 1000)
    const { error, log } = await bench.run(await bench.worker(), { kind: 'flood' }, { signal: cancel.signal })
    clearTimeout(timer)
    expect(error).toMatchObject({ message: 'enough' })
    expect(log.length).toBeLessThanOrEqual(20_000)
  })
})

describe('events that name files', () => {
  it('are refused when these are links, elsewhere or not there', async () => {
    const workDir = await bench.folder()
    const content = path.join(workDir, 'float32.tflite')
    await writeFile(content, 'TFL3')
    await symlink('/etc/passwd', path.join(workDir, 'link'))
    await symlink('/etc', path.join(workDir, 'folder'))
    /** Runs a script that stands for the zygote, and says what a model would that took its process over. */
    const told = async (file: string) => {
      const lines = [{ event: 'variant', variant: 'float32', path: file }, { event: 'done' }]
      const said = lines.map((event) => JSON.stringify({ id: 1, ...event })).join('\n')
      const script = `echo '{"event":"ready"}'; read request; cat <<'END'\n${said}\nEND\ncat > /dev/null`
      const python = path.join(bench.scratch, 'tells')
      await writeFile(python, `#!/bin/sh\n${script}\n`, { mode: 0o755 })
      const worker = await bench.worker({ python })
      const seen: unknown[] = []
      const ignore = () => undefined
      await runPythonConverter(
        { sourcePath: '/nowhere', sourceSha256: '', format: 'keras', recipes: [], workDir },
        { worker, temporaryFolder: path.join(workDir, 'tmp'), signal: new AbortController().signal },
        {
          ...{ progress: ignore, warning: ignore, described: ignore, exported: ignore, converting: ignore },
          variant: (event) => seen.push(event.path)
        }
      ).finally(() => worker.stop())
      return seen
    }
    expect(await told(content)).toEqual([content])
    for (const name of ['link', 'missing', '../other', 'folder/passwd']) {
      await expect(told(`${workDir}/${name}`), name).rejects.toMatchObject({ code: 'unsafe-model' })
    }
  })
})
