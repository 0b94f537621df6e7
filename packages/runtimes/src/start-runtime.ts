import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { ChildRuntime } from './child-runtime.ts'
import { acceptLiteRt, thisMachine } from './litert-acceptance.ts'
import type { RuntimeName, StartRuntimeOptions, TfliteRuntime } from './runtime.ts'
import { RuntimeError } from './runtime-error.ts'
import { SharedTensors } from './shared-tensors.ts'

/**
 * Starts a runtime in a process of its own, which gets an empty environment: native code and models need nothing of
 * the agent's.
 *
 * @throws RuntimeError `runtime-unavailable` when the machine cannot run it.
 */
export async function startRuntime(name: RuntimeName, options: StartRuntimeOptions): Promise<TfliteRuntime> {
  const { command = process.execPath, args: before = [], machine = thisMachine() } = options.launcher ?? {}
  const args = [...before, ...nodeFlags(name), childScript(name)]
  const onStderr = options.onStderr ?? (() => undefined)
  let version = options.version ?? 'unknown'
  if (name === 'litert') {
    const { liteRtLibrary, allowUnknownLiteRt: allowUnknown = false } = options
    if (liteRtLibrary === undefined) {
      throw new RuntimeError('runtime-unavailable', 'litert needs the path of its library.')
    }
    const { sha256, build } = await acceptLiteRt(liteRtLibrary, machine, { allowUnknown })
    if (build === undefined)
      onStderr(`LiteRT's library of sha256 ${sha256} is unknown and runs because that is allowed.`)
    else version = build.version
    args.push(liteRtLibrary)
  }
  // TensorFlow.js's runtimes copy their inputs themselves, and take many times as long: there it would gain nothing.
  const shared = name === 'litert' ? SharedTensors.create(process.pid, randomUUID()) : undefined
  const child = spawn(command, args, {
    env: {},
    stdio: ['ignore', 'pipe', 'pipe', 'pipe', shared?.fd ?? 'ignore'],
    // A group of its own: Ctrl-C in the agent's terminal must not look like a crash of the runtime.
    detached: true,
    windowsHide: true
  })
  if (!hasStarted(child)) {
    shared?.close()
    const [cause] = (await once(child, 'error')) as [Error]
    throw new RuntimeError('runtime-unavailable', `${name} could not be started: ${cause.message}`, { cause })
  }
  return ChildRuntime.start(child, { name, version }, { threads: options.threads ?? 1, shared, onStderr })
}

/** LiteRT's child only passes calls on: without V8's optimizing compiler it is as fast, and 4 MB smaller. */
const nodeFlags = (name: RuntimeName): string[] => (name === 'litert' ? ['--no-opt'] : [])

function hasStarted(child: ChildProcess): child is ChildProcess & { pid: number } {
  return child.pid !== undefined
}

/** Beside this file when built; in the build when this file runs as TypeScript source. */
function childScript(name: RuntimeName): string {
  const folder = import.meta.url.endsWith('.ts') ? '../dist/' : './'
  return fileURLToPath(new URL(`${folder}${name}-child.js`, import.meta.url))
}
