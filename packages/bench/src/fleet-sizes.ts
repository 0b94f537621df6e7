import { readFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { rowsOf, SimulatedFleet } from '@skerry/testkit'
import type { BenchmarkContext } from './benchmarks.ts'
import { ControlPlaneProcess } from './control-plane-process.ts'
import { answer, deployModel, jobLine, joinToken } from './dispatch.ts'
import { median } from './median.ts'

const SIZES = [10, 100, 1_000, 10_000]
const ROUNDS = 5
const JOBS = 2_000
const WARM_UP_JOBS = 2_000
/** In all: as many jobs are under way with few devices as with many, so that batches are alike. */
const LEAST_SLOTS = 400
/** A period of heartbeats. */
const IDLE_MS = 10_000
/** What the benchmark and the control plane have open beside their sockets. */
const OTHER_FILES = 500
/** Linux's unit of time in /proc/PID/stat. */
const TICKS_PER_SECOND = 100

export type FleetSize = {
  devices: number
  enrolSeconds: number
  /** From the first connection that is begun to the last device that serves the model. */
  connectSeconds: number
  connectCpuMicrosPerDevice: number
  /** CPU of the control plane's process per durable job, beyond what it takes idle in that time. */
  cpuMicrosPerJob: number
  /** The same with what it takes idle. */
  grossCpuMicrosPerJob: number
  perSecond: number
  /** Of one core, with heartbeats every 10 s. */
  idleCpuPercent: number
  rssBytes: number
  /** After the control plane was killed and started again: until all devices are back and serve. */
  returnSeconds: number
  returnAttemptsPerDevice: number
}

/**
 * What a job and a connection cost the control plane as the number of connected devices grows: a control plane of its own for
 * each size, devices over real sockets. Devices enrol over the ordinary route, which is not counted as connecting.
 */
export async function benchmarkFleetSizes({ devices: sizes = SIZES, valkeyServer, say }: BenchmarkContext): Promise<{
  fleetSizes?: FleetSize[]
  growth?: number
  connectGrowth?: number
  leftOut?: string[]
}> {
  if (sizes.length === 0) return {}
  const fleetSizes: FleetSize[] = []
  const leftOut: string[] = []
  for (const devices of [...sizes].sort((a, b) => a - b)) {
    const refusal = tooMany(devices)
    if (refusal === null) fleetSizes.push(await measure(valkeyServer, devices, say))
    else {
      leftOut.push(refusal)
      say(refusal)
    }
  }
  const [least, most] = [fleetSizes[0], fleetSizes.at(-1)]
  if (least === undefined || most === undefined) return { fleetSizes, leftOut }
  const growth = most.cpuMicrosPerJob / least.cpuMicrosPerJob
  say(`from ${least.devices} to ${most.devices} devices a job's cost grows to ${growth.toFixed(2)} times`)
  const connectGrowth = most.connectCpuMicrosPerDevice / least.connectCpuMicrosPerDevice
  return { fleetSizes, growth, connectGrowth, ...(leftOut.length === 0 ? {} : { leftOut }) }
}

/** Each device is an open file here, and another one in the control plane's process. */
function tooMany(devices: number): string | null {
  const limit = Number(/Max open files\s+(\d+)/.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? Number.NaN)
  if (!(devices + OTHER_FILES > limit)) return null
  const needed = devices + OTHER_FILES
  return `${devices} devices were left out: they need ${needed} open files and ${limit} are allowed (ulimit -n ${needed})`
}

async function measure(valkeyServer: string, devices: number, say: (line: string) => void): Promise<FleetSize> {
  const controlPlane = await ControlPlaneProcess.start(valkeyServer)
  let accepted = 0
  let onAccepted = (): void => undefined
  const slots = { infer: Math.max(4, Math.ceil(LEAST_SLOTS / devices)), convert: 0 }
  try {
    await deployModel(controlPlane)
    const fleet = new SimulatedFleet({
      url: controlPlane.url,
      token: await joinToken(controlPlane, 'infer', devices),
      slots,
      runtimes: [{ name: 'litert', version: '1' }],
      answer,
      onAccepted: () => {
        accepted += 1
        onAccepted()
      }
    })
    const finish = async (jobs: number): Promise<number> => {
      const due = accepted + jobs
      const done = new Promise<void>((resolve) => {
        onAccepted = () => {
          if (accepted >= due) resolve()
        }
      })
      const started = performance.now()
      const body = Array.from({ length: jobs }, jobLine).join('\n')
      const answers = await controlPlane.call('POST', '/jobs/batch', body, 'application/x-ndjson')
      const refused = answers.split('\n').filter((line) => line !== '' && !line.includes('"status":202'))
      if (refused.length > 0) throw new Error(`${refused.length} jobs were refused, for example ${refused[0]}`)
      await Promise.race([done, allEnded(controlPlane)])
      return performance.now() - started
    }
    const enrolMs = await timed(() => fleet.enrol(devices))
    const beforeMs = cpuMs(controlPlane.pid)
    const connectMs = await timed(async () => {
      const since = await databaseNow(controlPlane)
      fleet.start()
      await serving(controlPlane, fleet, devices, since)
    })
    const connectCpuMs = cpuMs(controlPlane.pid) - beforeMs
    say(
      `${devices} devices of ${slots.infer} slots serve after ${seconds(connectMs)} s (enrolled in ${seconds(enrolMs)} s)`
    )
    await finish(WARM_UP_JOBS)
    const idleShare = await idle(controlPlane)
    const rounds: { ms: number; cpuMs: number }[] = []
    for (let round = 0; round < ROUNDS; round++) {
      const fromMs = cpuMs(controlPlane.pid)
      const ms = await finish(JOBS)
      rounds.push({ ms, cpuMs: cpuMs(controlPlane.pid) - fromMs })
    }
    const rssBytes = residentBytes(controlPlane.pid)
    const attempts = fleet.attempts
    const returnMs = await timed(async () => {
      const since = await databaseNow(controlPlane)
      await controlPlane.restart()
      await serving(controlPlane, fleet, devices, since)
    })
    const result: FleetSize = {
      devices,
      enrolSeconds: enrolMs / 1_000,
      connectSeconds: connectMs / 1_000,
      connectCpuMicrosPerDevice: (connectCpuMs * 1_000) / devices,
      cpuMicrosPerJob: median(rounds.map((each) => ((each.cpuMs - idleShare * each.ms) * 1_000) / JOBS)),
      grossCpuMicrosPerJob: median(rounds.map((each) => (each.cpuMs * 1_000) / JOBS)),
      perSecond: median(rounds.map(({ ms }) => (JOBS * 1_000) / ms)),
      idleCpuPercent: idleShare * 100,
      rssBytes,
      returnSeconds: returnMs / 1_000,
      returnAttemptsPerDevice: (fleet.attempts - attempts) / devices
    }
    say(
      `${devices} devices: ${Math.round(result.cpuMicrosPerJob)} us of CPU a job, ${Math.round(result.perSecond)} jobs/s; ` +
        `idle ${result.idleCpuPercent.toFixed(1)} % of a core; back ${seconds(returnMs)} s after a crash`
    )
    await fleet.stop()
    return result
  } finally {
    await controlPlane.stop()
  }
}

/** Until all devices have said since then that they serve the model, and that is written. */
async function serving(
  { databaseUrl }: ControlPlaneProcess,
  fleet: SimulatedFleet,
  devices: number,
  since: string
): Promise<void> {
  await fleet.whenServing(devices)
  for (let tried = 0; tried < 2_400; tried++) {
    const [{ ready } = { ready: 0 }] = await rowsOf<{ ready: number }>(
      databaseUrl,
      `SELECT count(*)::int AS ready FROM placements WHERE state = 'ready' AND updated_at >= $1`,
      [since]
    )
    if (ready >= devices) return
    await pause(50)
  }
  throw new Error('not all devices serve the model within two minutes of saying so')
}

/** On a machine that is busy a job may be given out twice, and which device's result counts is not for it to say. */
async function allEnded({ databaseUrl }: ControlPlaneProcess): Promise<void> {
  for (let open = true; open; ) {
    await pause(1_000)
    const statement = "SELECT FROM jobs WHERE state IN ('queued', 'running') LIMIT 1"
    open = (await rowsOf(databaseUrl, statement)).length > 0
  }
}

async function databaseNow({ databaseUrl }: ControlPlaneProcess): Promise<string> {
  const [row] = await rowsOf<{ now: string }>(databaseUrl, 'SELECT now()::text AS now')
  return row?.now ?? ''
}

/** Share of a core that it takes with nothing to do but heartbeats. */
async function idle(controlPlane: ControlPlaneProcess): Promise<number> {
  // What the last jobs left behind has settled.
  await pause(1_000)
  const [fromMs, started] = [cpuMs(controlPlane.pid), performance.now()]
  await pause(IDLE_MS)
  return (cpuMs(controlPlane.pid) - fromMs) / (performance.now() - started)
}

/** CPU time of a process since it began, of all its threads, to 10 ms. */
function cpuMs(pid: number): number {
  // The name, in brackets, may hold anything.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return ((Number(fields[11]) + Number(fields[12])) * 1_000) / TICKS_PER_SECOND
}

function residentBytes(pid: number): number {
  const kib = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kib ?? Number.NaN) * 1_024
}

async function timed(task: () => Promise<void>): Promise<number> {
  const started = performance.now()
  await task()
  return performance.now() - started
}

const seconds = (ms: number): string => (ms / 1_000).toFixed(1)
