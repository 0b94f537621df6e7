import { readFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { rowsOf, SimulatedFleet } from '@skerry/testkit'
import { ControlPlaneProcess } from './control-plane-process.ts'
import { answer, deployModel, jobLine } from './dispatch.ts'

/** In all: as many jobs are under way with few devices as with many, so that batches are alike. */
const LEAST_SLOTS = 400
/** Linux's unit of time in /proc/PID/stat. */
const TICKS_PER_SECOND = 100

/** A control plane of its own with so many simulated devices, over real sockets. */
export class SizedFleet {
  readonly devices: number
  readonly slots: number
  readonly #controlPlane: ControlPlaneProcess
  readonly #fleet: SimulatedFleet
  #accepted = 0
  #onAccepted = (): void => undefined

  /** Its devices are enrolled, as rows, and not connected yet. */
  static async start(valkeyServer: string, devices: number): Promise<SizedFleet> {
    const controlPlane = await ControlPlaneProcess.start(valkeyServer)
    try {
      await deployModel(controlPlane)
      const sized = new SizedFleet(controlPlane, devices)
      await sized.#fleet.enrol(controlPlane.databaseUrl, devices)
      return sized
    } catch (error) {
      await controlPlane.stop()
      throw error
    }
  }

  private constructor(controlPlane: ControlPlaneProcess, devices: number) {
    this.devices = devices
    this.slots = Math.max(4, Math.ceil(LEAST_SLOTS / devices))
    this.#controlPlane = controlPlane
    this.#fleet = new SimulatedFleet({
      url: controlPlane.url,
      slots: { infer: this.slots, convert: 0 },
      runtimes: [{ name: 'litert', version: '1' }],
      answer,
      onAccepted: () => {
        this.#accepted += 1
        this.#onAccepted()
      }
    })
  }

  /** Resolves when all devices serve the model; the time from the first connection that is begun. */
  async connect(): Promise<{ ms: number; cpuMs: number }> {
    const fromMs = this.cpuMs()
    const since = await this.#databaseNow()
    const ms = await timed(async () => {
      this.#fleet.start()
      await this.#serving(since)
    })
    return { ms, cpuMs: this.cpuMs() - fromMs }
  }

  /** From the request to the last row that is terminal. */
  async finish(jobs: number): Promise<{ ms: number; cpuMs: number }> {
    const due = this.#accepted + jobs
    const done = new Promise<void>((resolve) => {
      this.#onAccepted = () => {
        if (this.#accepted >= due) resolve()
      }
    })
    const body = Array.from({ length: jobs }, jobLine).join('\n')
    const fromMs = this.cpuMs()
    const ms = await timed(async () => {
      const answers = await this.#controlPlane.call('POST', '/jobs/batch', body, 'application/x-ndjson')
      const refused = answers.split('\n').filter((line) => line !== '' && !line.includes('"status":202'))
      if (refused.length > 0) throw new Error(`${refused.length} jobs were refused, for example ${refused[0]}`)
      await Promise.race([done, this.#allEnded()])
    })
    return { ms, cpuMs: this.cpuMs() - fromMs }
  }

  /** So many jobs in one request whose deadline nobody can meet; CPU of the control plane's process for each that it refused. */
  async refusalCpuMicros(jobs: number): Promise<number> {
    const impossible = JSON.stringify({ ...JSON.parse(jobLine()), deadlineMs: 1, admission: 'strict' })
    const fromMs = this.cpuMs()
    const body = Array.from({ length: jobs }, () => impossible).join('\n')
    const answers = await this.#controlPlane.call('POST', '/jobs/batch', body, 'application/x-ndjson')
    const refused = answers.split('\n').filter((line) => line.includes('"deadline-infeasible"')).length
    return ((this.cpuMs() - fromMs) * 1_000) / refused
  }

  /** Kills the control plane and starts it again. How long it takes to answer, and from then on until all devices serve. */
  async crash(): Promise<{ restartMs: number; returnMs: number; attempts: number }> {
    const attempts = this.#fleet.attempts
    const since = await this.#databaseNow()
    const restartMs = await timed(() => this.#controlPlane.restart())
    const returnMs = await timed(() => this.#serving(since))
    return { restartMs, returnMs, attempts: this.#fleet.attempts - attempts }
  }

  /** CPU time of the control plane's process since it began, of all its threads, to 10 ms. */
  cpuMs(): number {
    // The name, in brackets, may hold anything.
    const fields = readFileSync(`/proc/${this.#controlPlane.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
    return ((Number(fields[11]) + Number(fields[12])) * 1_000) / TICKS_PER_SECOND
  }

  residentBytes(): number {
    const kib = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${this.#controlPlane.pid}/status`, 'utf8'))?.[1]
    return Number(kib ?? Number.NaN) * 1_024
  }

  async stop(): Promise<void> {
    await this.#fleet.stop()
    await this.#controlPlane.stop()
  }

  /** Until all devices have said since then that they serve the model, and that is written. */
  async #serving(since: string): Promise<void> {
    const { databaseUrl } = this.#controlPlane
    await this.#fleet.whenServing(this.devices)
    const statement = `SELECT count(*)::int AS ready FROM placements WHERE state = 'ready' AND updated_at >= $1`
    for (let tried = 0; tried < 1_200; tried++) {
      const [row] = await rowsOf<{ ready: number }>(databaseUrl, statement, [since])
      if ((row?.ready ?? 0) >= this.devices) return
      await pause(100)
    }
    throw new Error('not all devices serve the model within two minutes of saying so')
  }

  /** On a machine that is busy a job may be given out twice, and which device's result counts is not for it to say. */
  async #allEnded(): Promise<void> {
    const statement = "SELECT FROM jobs WHERE state IN ('queued', 'running') LIMIT 1"
    for (let open = true; open; ) {
      await pause(1_000)
      open = (await rowsOf(this.#controlPlane.databaseUrl, statement)).length > 0
    }
  }

  async #databaseNow(): Promise<string> {
    const [row] = await rowsOf<{ now: string }>(this.#controlPlane.databaseUrl, 'SELECT now()::text AS now')
    return row?.now ?? ''
  }
}

export async function timed(task: () => Promise<void>): Promise<number> {
  const started = performance.now()
  await task()
  return performance.now() - started
}
