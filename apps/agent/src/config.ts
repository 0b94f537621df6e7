import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { type Capability, type DeviceSetting, isA, Labels, Name, type RuntimeName } from '@skerry/contracts'
import type { Logger } from 'pino'
import { AgentError } from './agent-error.ts'
import type { OnPoint } from './agent-point.ts'
import type { RecentLog } from './diagnostics/recent-log.ts'
import type { LocalAddress } from './local/local-address.ts'
import type { WorkLimits } from './system/work-gate.ts'

/** What `skerry agent join` passes on. Only `url` has no default. */
// Slots, threads, runtime, limits and log level that are given here win over what the control plane sets.
export type AgentOptions = {
  /** The control plane's address, http: or https:. */
  url: string
  /** Needed once; a device whose data directory holds an identity starts without. */
  token?: string
  /** Lower case letters, digits, dots, dashes. The control plane invents one if it is absent. */
  name?: string
  labels?: Record<string, string>
  /** Default `auto`: all that can be started, the fastest first. */
  runtime?: 'auto' | RuntimeName
  /** Default `infer`. */
  capabilities?: readonly Capability[]
  /** Inferences at once, default 1; `auto` as many as cores and memory bear. */
  slots?: number | 'auto'
  /** Default `info`, or that of the logger. */
  logLevel?: string
  /** When work is refused: below 64 MiB of free memory, from 90 °C on, below 15 % of a battery that discharges. */
  limits?: Partial<WorkLimits>
  /** Artifacts made before this date (ISO 8601) are refused; by default none is too old. */
  oldestArtifact?: string
  /** Where /proc and /sys lie; default `/`. */
  systemRoot?: string
  /** Default `~/.skerry/agent`. One agent per data directory. */
  dataDir?: string
  /** What cached models may take on the disk, deployed and spare ones together; default 2 GiB. */
  cacheBytes?: number
  /** Python of an environment with TensorFlow; needed for the capability `convert`. */
  python?: string
  /** LiteRT's C library; without it the runtime `litert` is not offered. */
  liteRtLibrary?: string
  liteRtVersion?: string
  /** Threads of one inference, default 1. */
  threads?: number
  /** An inference that takes longer loses its runtime's process; default 60 s. */
  invokeTimeoutMs?: number
  /** Local inference on this port of loopback, or on a Unix socket at this path; off by default. */
  local?: number | string
  /** A local request that is longer is refused; default 64 MiB. */
  localMaxBodyBytes?: number
  /** A local request is answered within this, the wait for a slot included; default 60 s. */
  localTimeoutMs?: number
  /** How long `stop` lets running inferences end, default 3 s. */
  stopGraceMs?: number
  logger?: Logger
  /** What the logger also writes to, for diagnostics; see `openLog`. */
  recentLog?: RecentLog
  /** 0 up to 1, for the jitter of reconnects; default Math.random. */
  random?: () => number
  /** For tests that end the process at a point; nothing else has a use for it. */
  onPoint?: OnPoint
}

export type AgentSettings = {
  url: URL
  runtime: 'auto' | RuntimeName
  capabilities: Capability[]
  slots: { infer: number; convert: number }
  limits: WorkLimits
  oldestArtifact: Date | undefined
  logLevel: string
  /** What the control plane cannot change, because it was said here. */
  given: ReadonlySet<DeviceSetting>
  systemRoot: string
  dataDir: string
  cacheBytes: number
  labels: Labels
  name?: string
  token?: string
  python?: string
  liteRtLibrary?: string
  liteRtVersion?: string
  threads: number
  invokeTimeoutMs: number
  local?: { address: LocalAddress; maxBodyBytes: number; timeoutMs: number }
  stopGraceMs: number
  random: () => number
  onPoint: OnPoint
}

export const defaultDataDir = (): string => join(homedir(), '.skerry', 'agent')

const LIMITS: WorkLimits = { minFreeMemoryBytes: 64 * 1024 ** 2, maxTemperatureC: 90, minBatteryPercent: 15 }

/** Checks the options and fills in defaults, `autoSlots` for the slots where they are to follow the machine; throws `option-invalid` with a sentence that says what to change. */
export function settingsOf(options: AgentOptions, autoSlots: (threads: number) => number): AgentSettings {
  const url = URL.parse(options.url) ?? wrong(`'${options.url}' is not an address: write it as http://HOST:PORT.`)
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    wrong(`The address of the control plane starts with http:// or https://, not ${url.protocol}//.`)
  }
  if (options.name !== undefined && !isA(Name, options.name)) {
    wrong(`'${options.name}' is not a name: lower case letters, digits, dots and dashes, at most 64.`)
  }
  const labels = options.labels ?? {}
  if (!isA(Labels, labels)) {
    wrong('A label is KEY=VALUE; a key has letters, digits, dots, dashes, underlines and slashes, at most 64.')
  }
  const capabilities = [...new Set(options.capabilities ?? (['infer'] as const))]
  if (capabilities.length === 0) wrong('An agent needs at least one capability: infer or convert.')
  if (capabilities.includes('convert') && options.python === undefined) {
    wrong('The capability convert needs the Python of an environment with TensorFlow.')
  }
  if (options.runtime === 'litert' && options.liteRtLibrary === undefined) {
    wrong("The runtime litert needs the path of LiteRT's library.")
  }
  const threads = whole('threads', options.threads ?? 1, 1)
  const local = localOf(options, capabilities)
  return {
    url,
    runtime: options.runtime ?? 'auto',
    capabilities,
    slots: {
      infer: capabilities.includes('infer')
        ? whole('slots', options.slots === 'auto' ? autoSlots(threads) : (options.slots ?? 1), 1)
        : 0,
      // One conversion alone takes gigabytes: more at once would only starve each other.
      convert: capabilities.includes('convert') ? 1 : 0
    },
    limits: { ...LIMITS, ...options.limits },
    oldestArtifact: options.oldestArtifact === undefined ? undefined : date('oldestArtifact', options.oldestArtifact),
    logLevel: options.logLevel ?? options.logger?.level ?? 'info',
    given: givenOf(options),
    systemRoot: options.systemRoot ?? '/',
    dataDir: resolve(options.dataDir ?? defaultDataDir()),
    cacheBytes: whole('cacheBytes', options.cacheBytes ?? 2 * 1024 ** 3, 0),
    labels,
    ...(options.name === undefined ? {} : { name: options.name }),
    ...(options.token === undefined ? {} : { token: options.token }),
    ...(options.python === undefined ? {} : { python: options.python }),
    ...(options.liteRtLibrary === undefined ? {} : { liteRtLibrary: options.liteRtLibrary }),
    ...(options.liteRtVersion === undefined ? {} : { liteRtVersion: options.liteRtVersion }),
    threads,
    invokeTimeoutMs: whole('invokeTimeoutMs', options.invokeTimeoutMs ?? 60_000, 1),
    ...(local === undefined ? {} : { local }),
    stopGraceMs: whole('stopGraceMs', options.stopGraceMs ?? 3_000, 0),
    random: options.random ?? Math.random,
    onPoint: options.onPoint ?? (() => undefined)
  }
}

function date(name: string, text: string): Date {
  const parsed = new Date(text)
  return Number.isNaN(parsed.getTime()) ? wrong(`${name} is a date such as 2026-01-31, not '${text}'.`) : parsed
}

function givenOf({ slots, threads, runtime, logLevel, limits = {} }: AgentOptions): ReadonlySet<DeviceSetting> {
  const values: Partial<Record<DeviceSetting, unknown>> = { slots, threads, runtime, logLevel, ...limits }
  return new Set((Object.keys(values) as DeviceSetting[]).filter((setting) => values[setting] !== undefined))
}

function localOf({ local, localMaxBodyBytes, localTimeoutMs }: AgentOptions, capabilities: Capability[]) {
  if (local === undefined) return undefined
  if (!capabilities.includes('infer')) wrong('Local inference needs the capability infer.')
  if (typeof local === 'number' && whole('The port of local inference', local, 0) > 65_535) {
    wrong('The port of local inference is at most 65535.')
  }
  return {
    address: typeof local === 'number' ? { port: local } : { path: resolve(local) },
    maxBodyBytes: whole('localMaxBodyBytes', localMaxBodyBytes ?? 64 * 1024 * 1024, 1),
    timeoutMs: whole('localTimeoutMs', localTimeoutMs ?? 60_000, 1)
  }
}

function whole(name: string, value: number, least: number): number {
  if (!Number.isSafeInteger(value) || value < least) wrong(`${name} is a whole number of at least ${least}.`)
  return value
}

function wrong(message: string): never {
  throw new AgentError('option-invalid', message)
}
