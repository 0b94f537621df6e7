import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ConverterWorkerOptions, RunOptions } from '../src/converter-worker.ts'
import { ConverterWorker } from '../src/index.ts'
import type { JsonEvent } from '../src/json-lines-process.ts'
import { python } from './real-parts.ts'

const handlers = fileURLToPath(new URL('zygote-handlers.py', import.meta.url))

/** Runs a command where no namespaces can be made; as root. */
export const withoutNamespaces = [
  ...['unshare', '--user', '--map-root-user', 'sh', '-c'],
  'echo 0 | tee /proc/sys/user/max_*_namespaces > /dev/null; exec "$@"',
  'sh'
]

/** A scratch folder, and workers whose process is the real zygote with test/zygote-handlers.py instead of TensorFlow. */
export async function openWorkerBench() {
  const scratch = await mkdtemp(path.join(tmpdir(), 'skerry-worker-'))
  const workers: ConverterWorker[] = []
  let runs = 0

  /** Stands for Python; all that comes of it has `scratch` in its command line. */
  const executable = async (name: string, { args = [], by = [] }: { args?: string[]; by?: string[] } = {}) => {
    const file = path.join(scratch, name)
    const command = [...by, python, '-P', '-s', '-B', handlers, scratch, ...args].map((part) => `'${part}'`)
    await writeFile(file, `#!/bin/sh\nexec ${command.join(' ')}\n`, { mode: 0o755 })
    return file
  }
  const worker = async (options: Partial<ConverterWorkerOptions> = {}) => {
    const made = new ConverterWorker({ python: await executable('python'), ...options })
    workers.push(made)
    return made
  }
  const folder = async () => {
    const workDir = path.join(scratch, `work-${++runs}`)
    await mkdir(path.join(workDir, 'tmp'), { recursive: true })
    return workDir
  }
  /** One request in a folder of its own; what it said is in the result. */
  const run = async (
    by: ConverterWorker,
    request: { kind: string; [field: string]: unknown },
    options: Partial<RunOptions> = {}
  ) => {
    const workDir = await folder()
    const events: JsonEvent[] = []
    const log: string[] = []
    const error = await by
      .run(
        { workDir, ...request },
        {
          temporaryFolder: path.join(workDir, 'tmp'),
          signal: new AbortController().signal,
          ...options,
          onEvent: (event) => {
            events.push(event)
            options.onEvent?.(event)
          },
          onLog: (line) => {
            log.push(line)
          }
        }
      )
      .then(
        () => undefined,
        (reason: unknown) => reason
      )
    return { error, events, log, workDir }
  }
  const stop = async () => {
    await Promise.all(workers.splice(0).map((each) => each.stop()))
  }
  const close = async () => {
    await stop()
    await rm(scratch, { recursive: true, force: true })
  }
  return { scratch, executable, worker, folder, run, stop, close, processes: () => processesWith(scratch) }
}

/** Numbers of the processes that have this text in their command line, zombies left out. */
export function processesWith(text: string): { pid: number; parent: number }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        if (!readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(text)) return []
        const [state, parent] = readFileSync(`/proc/${name}/stat`, 'utf8')
          .replace(/^.*\) /, '')
          .split(' ')
        return state === 'Z' ? [] : [{ pid: Number(name), parent: Number(parent) }]
      } catch (error) {
        // Ended meanwhile.
        if (existsSync(`/proc/${name}`)) throw error
        return []
      }
    })
}
