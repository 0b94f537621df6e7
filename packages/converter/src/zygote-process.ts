import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import type { Socket } from 'node:net'
import { createInterface } from 'node:readline'
import type { ConversionError } from './conversion-error.ts'
import { endOf, howEnded, type JsonEvent, killGroup, LastLines, notStarted, parseEvent } from './json-lines-process.ts'
import { pythonArguments, pythonEnvironment } from './python-environment.ts'
import { withResolvers } from './with-resolvers.ts'

const title = 'The converter'
const stopGraceMs = 2000

/**
 * The Python process that has imported TensorFlow, and forks another for each request (python/skerry_converter/zygote.py).
 * It does not keep this process alive unless it is held.
 */
export class ZygoteProcess {
  /** Rejects with a ConversionError where it ends before. */
  readonly ready: Promise<void>
  /** Why it ended, once it is gone. */
  readonly ended: Promise<ConversionError>
  readonly lastLines = new LastLines()
  readonly #child: ChildProcessWithoutNullStreams
  #held = 0
  #isReady = false

  constructor(python: string, onEvent: (event: JsonEvent) => void, onLog?: (line: string) => void) {
    const child = spawn(python, pythonArguments('-m', 'skerry_converter'), {
      cwd: '/',
      // It writes nothing: each request has a folder of its own.
      env: pythonEnvironment('/nonexistent'),
      stdio: ['pipe', 'pipe', 'pipe'],
      // A group of its own, which can be killed whole, and which Ctrl-C in a terminal does not reach before us.
      detached: true
    })
    this.#child = child
    const log = (line: string) => {
      const text = this.lastLines.add(line)
      onLog?.(text)
    }
    this.ended = endOf(child).then(
      ({ code, signal }) => this.lastLines.crash('converter-crashed', title, howEnded(code, signal)),
      (error: unknown) => notStarted('converter-unavailable', title, error)
    )
    const { promise, resolve, reject } = withResolvers()
    this.ready = promise
    // Whoever waits for it hears of it; and nobody has to.
    promise.catch(() => undefined)
    void this.ended.then(reject)
    child.stdin.on('error', (error: NodeJS.ErrnoException) => {
      // A process that ended before it read: how it ended says more than the pipe does.
      if (error.code !== 'EPIPE') log(`stdin: ${error.message}`)
    })
    createInterface({ input: child.stderr }).on('line', log)
    createInterface({ input: child.stdout }).on('line', (line) => {
      const event = parseEvent(line)
      if (event === undefined) log(line)
      else if (event.event !== 'ready') onEvent(event)
      else {
        this.#isReady = true
        resolve()
      }
    })
    this.#setHeld(false)
  }

  send(message: unknown): void {
    if (this.#child.stdin.writable) this.#child.stdin.write(`${JSON.stringify(message)}\n`)
  }

  /** Until as many releases, this process stays alive for it. */
  hold(): void {
    if (this.#held++ === 0) this.#setHeld(true)
  }

  release(): void {
    if (--this.#held === 0) this.#setHeld(false)
  }

  kill(): void {
    killGroup(this.#child.pid)
  }

  /** Ends it with everything that it is at; resolves when all of it is gone. */
  async stop(): Promise<void> {
    this.hold()
    this.#child.stdin.end()
    // While it imports TensorFlow it listens to nobody, and has nothing to end in order.
    const timer = setTimeout(() => this.kill(), this.#isReady ? stopGraceMs : 0)
    await this.ended
    clearTimeout(timer)
    this.release()
  }

  #setHeld(held: boolean): void {
    const { stdin, stdout, stderr } = this.#child
    for (const each of [this.#child, stdin as Socket, stdout as Socket, stderr as Socket]) {
      if (held) each.ref()
      else each.unref()
    }
  }
}
