import type { ChildProcess } from 'node:child_process'
import type { Duplex, Readable } from 'node:stream'
import { channelFd, encodeHeader, FrameReader, Head, type Reply, type Request, readyId, stderrMarker } from './frame.ts'
import type { CallOptions, RuntimeExit } from './runtime.ts'
import { RuntimeError, type RuntimeErrorCode } from './runtime-error.ts'
import type { SharedTensors } from './shared-tensors.ts'
import { StderrLines } from './stderr-lines.ts'

/** A request as callers write it: the call number and the parts' lengths are added here. */
export type RequestBody = Request extends infer R ? (R extends Request ? Omit<R, 'id' | 'parts'> : never) : never

/** Offsets in shared memory, in the tensors' order; null for tensors that the channel carries. */
export type Crossing = { lengths: readonly number[]; offsets: readonly number[] | null }

export type Inference = {
  model: number
  signature: number
  inputs: readonly Uint8Array[]
  inputOffsets: Crossing['offsets']
  outputs: Crossing
}

export type Answer = { reply: Extract<Reply, { ok: true }>; parts: Uint8Array[] }

/** Ids have 32 bits. */
const lastId = 0xffff_ffff

type Call = {
  id: number
  /** What stderr says about an error, complete once the marker line is there. */
  lines: string[]
  markerSeen: boolean
  failure: Extract<Reply, { ok: false }> | undefined
  /** What its answer brings, when it is an inference. */
  readonly outputs: Crossing | undefined
  send(id: number): void
  resolve(answer: Answer): void
  reject(error: RuntimeError): void
  /** Takes away what watches the call: timer and abort listener. */
  stopWatching(): void
}

/**
 * Calls to a child over its channel, one after another, as its runtime would run them anyway. So a timeout counts the
 * call's own time, and a call that is aborted while it waits harms nobody.
 */
export class ChildCalls {
  /** Resolves with the child's first frame; rejects when the child ends before it. */
  readonly ready: Promise<Answer>
  readonly #process: ChildProcess
  readonly #channel: Duplex
  readonly #shared: SharedTensors | undefined
  readonly #output: StderrLines
  readonly #waiting: Call[] = []
  readonly #exitListeners: ((reason: RuntimeExit) => void)[] = []
  #active: Call | undefined
  readonly #head = new Head()
  #nextId = readyId
  #closing = false
  #killReason: { code: RuntimeErrorCode; message: string } | undefined
  #exit: RuntimeExit | undefined

  /** The process has its stdout and stderr piped and a socket as descriptor `channelFd`. */
  constructor(process: ChildProcess, shared: SharedTensors | undefined, onStderr: (line: string) => void) {
    this.#process = process
    this.#shared = shared
    this.#channel = process.stdio[channelFd] as Duplex
    this.#output = new StderrLines((line) => {
      const call = this.#active
      if (call !== undefined && line === stderrMarker(call.id)) {
        call.markerSeen = true
        this.#settleFailure(call)
        return false
      }
      call?.lines.push(line)
      onStderr(line)
      return true
    })
    this.#listen()
    // Nothing is sent for the first answer: the child gives it by itself.
    this.ready = this.#enqueue(() => undefined, undefined, {})
  }

  call(body: RequestBody, parts: readonly Uint8Array[], options: CallOptions): Promise<Answer> {
    const send = (id: number): void =>
      this.#send(encodeHeader({ ...body, id, parts: parts.map((part) => part.length) }), parts)
    return this.#enqueue(send, undefined, options)
  }

  infer({ model, signature, inputs, inputOffsets, outputs }: Inference, options: CallOptions): Promise<Answer> {
    const send = (id: number): void => {
      // Only one call is in flight, so nobody reads the head and the shared memory that this one writes.
      this.#head.setRequest(id, model, signature)
      if (inputOffsets !== null) this.#shared?.write(inputs, inputOffsets)
      this.#send(this.#head.bytes, inputOffsets === null ? inputs : [])
    }
    return this.#enqueue(send, outputs, options)
  }

  close(): Promise<void> {
    this.#closing = true
    if (this.#active === undefined) this.#channel.end()
    return new Promise((resolve) => this.onExit(() => resolve()))
  }

  onExit(listener: (reason: RuntimeExit) => void): void {
    if (this.#exit === undefined) this.#exitListeners.push(listener)
    else listener(this.#exit)
  }

  #send(head: Uint8Array, parts: readonly Uint8Array[]): void {
    if (parts.length > 0) this.#channel.cork()
    this.#channel.write(head)
    for (const part of parts) this.#channel.write(part)
    if (parts.length > 0) this.#channel.uncork()
  }

  #enqueue(send: (id: number) => void, outputs: Crossing | undefined, options: CallOptions): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#exit !== undefined) return reject(describeExit(this.#exit, undefined))
      if (this.#closing) return reject(new RuntimeError('runtime-closed'))
      if (options.signal?.aborted === true) return reject(abortedEarly())
      const call: Call = {
        id: this.#nextId,
        lines: [],
        markerSeen: false,
        failure: undefined,
        outputs,
        send,
        resolve,
        reject,
        stopWatching: nothing
      }
      this.#nextId = this.#nextId === lastId ? readyId + 1 : this.#nextId + 1
      if (options.signal !== undefined || options.timeoutMs !== undefined) this.#watch(call, options)
      this.#waiting.push(call)
      this.#dispatch()
    })
  }

  #watch(call: Call, { signal, timeoutMs }: CallOptions): void {
    let timer: NodeJS.Timeout | undefined
    const onAbort = (): void => {
      const at = this.#waiting.indexOf(call)
      if (at === -1) {
        this.#kill('runtime-aborted', 'The call was aborted and its process was ended.')
        return
      }
      this.#waiting.splice(at, 1)
      call.stopWatching()
      call.reject(abortedEarly())
    }
    const { send } = call
    call.send = (id) => {
      if (timeoutMs !== undefined) {
        const message = `The call took longer than ${timeoutMs} ms and its process was ended.`
        timer = setTimeout(() => this.#kill('runtime-timeout', message), timeoutMs)
      }
      send(id)
    }
    call.stopWatching = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
    }
    signal?.addEventListener('abort', onAbort, { once: true })
  }

  #dispatch(): void {
    if (this.#active !== undefined || this.#exit !== undefined) return
    this.#active = this.#waiting.shift()
    if (this.#active !== undefined) this.#active.send(this.#active.id)
    else if (this.#closing) this.#channel.end()
  }

  #listen(): void {
    const reader = new FrameReader(
      (reply, parts) => this.#receive(reply, parts),
      (id) => {
        const { outputs } = this.#activeCall(id)
        if (outputs === undefined) throw new Error(`call ${id} was no inference`)
        return outputs.offsets === null ? outputs.lengths : []
      }
    )
    this.#channel.on('data', (chunk: Buffer) => {
      try {
        reader.push(chunk)
      } catch (error) {
        this.#kill('runtime-crashed', `The process sent what is no answer: ${String(error)}`)
      }
    })
    // A broken channel means that the process is ending; its exit tells why.
    this.#channel.on('error', () => this.#process.kill('SIGKILL'))
    for (const stream of [this.#process.stdout, this.#process.stderr] as Readable[]) {
      stream.setEncoding('utf8')
      stream.on('data', (chunk: string) => this.#output.push(chunk))
    }
    this.#process.once('close', (exitCode, signal) => this.#onGone(exitCode, signal))
  }

  #receive(reply: Reply, parts: Uint8Array[]): void {
    const call = this.#activeCall(reply.id)
    if (reply.ok) {
      const { lengths = [], offsets = null } = call.outputs ?? {}
      // Before the next call writes over them.
      const outputs = offsets === null ? parts : (this.#shared?.read(lengths, offsets) ?? [])
      this.#finish(call)
      call.resolve({ reply, parts: outputs })
    } else {
      call.failure = reply
      this.#settleFailure(call)
    }
  }

  #activeCall(id: number): Call {
    const call = this.#active
    if (call === undefined || call.id !== id) throw new Error(`call ${id} was not made`)
    return call
  }

  #settleFailure(call: Call): void {
    if (call.failure === undefined || !call.markerSeen) return
    this.#finish(call)
    const { code, message } = call.failure
    const said = call.lines.map((line) => line.replace(/^ERROR: (\[[^\]]*\] )?/, ''))
    // Runtimes try twice, with and without a delegate, and complain both times.
    const words = new Set([...said.filter((line) => !message.includes(line)), message])
    call.reject(new RuntimeError(code, [...words].join(' '), { stderr: call.lines }))
  }

  #finish(call: Call): void {
    call.stopWatching()
    this.#active = undefined
    this.#dispatch()
  }

  #kill(code: RuntimeErrorCode, message: string): void {
    this.#killReason ??= { code, message }
    this.#process.kill('SIGKILL')
  }

  #onGone(exitCode: number | null, signal: string | null): void {
    this.#output.end()
    this.#shared?.close()
    const exit: RuntimeExit = { expected: this.#closing, exitCode, signal, stderr: this.#output.last }
    this.#exit = exit
    const active = this.#active
    this.#active = undefined
    if (active !== undefined) {
      active.stopWatching()
      active.reject(describeExit({ ...exit, stderr: active.lines }, this.#killReason))
    }
    for (const call of this.#waiting.splice(0)) {
      call.stopWatching()
      call.reject(describeExit(exit, undefined))
    }
    for (const listener of this.#exitListeners.splice(0)) listener(exit)
  }
}

const nothing = (): void => undefined

function abortedEarly(): RuntimeError {
  return new RuntimeError('runtime-aborted', 'The call was aborted before it began.')
}

function describeExit(
  exit: RuntimeExit,
  killReason: { code: RuntimeErrorCode; message: string } | undefined
): RuntimeError {
  if (killReason !== undefined) return new RuntimeError(killReason.code, killReason.message, exit)
  if (exit.expected) return new RuntimeError('runtime-closed', undefined, exit)
  const how = exit.signal === null ? `code ${exit.exitCode}` : `signal ${exit.signal}`
  const said = exit.stderr.filter((line) => !line.startsWith('at ')).join(' ')
  return new RuntimeError('runtime-crashed', `The runtime's process ended with ${how}. ${said}`.trimEnd(), exit)
}
