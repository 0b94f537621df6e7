import type { Capability, DeviceConfig, DeviceSetting, RuntimeName } from '@skerry/contracts'
import type { AgentSettings } from '../config.ts'
import type { WorkLimits } from '../system/work-gate.ts'

/** What may change while the agent runs. */
export type RunningConfig = {
  slots: number
  threads: number
  runtime: 'auto' | RuntimeName
  logLevel: string
} & WorkLimits

export type Refusal = { setting: string; reason: string }

/** What whoever started the agent said, or the defaults where nothing was said. */
export type LocalConfig = {
  values: RunningConfig
  /** Said, so that it wins over what the control plane wants. */
  given: ReadonlySet<DeviceSetting>
  capabilities: readonly Capability[]
  cores: number
}

const FLAGS: Record<DeviceSetting, string> = {
  slots: '--slots',
  threads: '--threads',
  runtime: '--runtime',
  logLevel: '--log-level (or SKERRY_LOG_LEVEL)',
  minFreeMemoryBytes: '--min-free-mb',
  maxTemperatureC: '--max-temperature',
  minBatteryPercent: '--min-battery'
}
const SETTINGS = Object.keys(FLAGS) as DeviceSetting[]

export function localConfigOf(settings: AgentSettings, cores: number): LocalConfig {
  const { slots, threads, runtime, logLevel, limits, given, capabilities } = settings
  return { values: { slots: slots.infer, threads, runtime, logLevel, ...limits }, given, capabilities, cores }
}

/** What to run with, and what of the control plane's wish is not taken over and why. */
export function decideConfig(local: LocalConfig, remote: DeviceConfig): { config: RunningConfig; refused: Refusal[] } {
  const config = { ...local.values }
  const refused: Refusal[] = []
  for (const setting of SETTINGS) {
    const wanted = remote[setting]
    if (wanted === undefined || wanted === config[setting]) continue
    const reason = refusal(local, setting, wanted)
    if (reason === undefined) Object.assign(config, { [setting]: wanted })
    else refused.push({ setting, reason })
  }
  return { config, refused }
}

function refusal(
  { values, given, capabilities, cores }: LocalConfig,
  setting: DeviceSetting,
  wanted: number | string
): string | undefined {
  if (setting === 'slots' && !capabilities.includes('infer')) return 'This device does not infer.'
  if (given.has(setting)) return `It was started with ${FLAGS[setting]}, which wins: ${values[setting]}.`
  if (setting === 'threads' && Number(wanted) > cores) return `It has ${cores} cores; more threads only slow it down.`
  return undefined
}
