import type { Static } from 'typebox'
import { RuntimeInfo, RuntimeName } from './runtimes.ts'
import { Timestamp } from './schema.ts'
import { Type } from './type.ts'

/** Parts of the protocol that came after its first version; an agent names those that it knows in its facts. */
export const AGENT_FEATURES = ['config', 'diagnostics', 'rotate-key'] as const
export type AgentFeature = (typeof AGENT_FEATURES)[number]

const settings = {
  slots: Type.Integer({ minimum: 1, maximum: 1024, description: 'Inferences at a time' }),
  threads: Type.Integer({ minimum: 1, maximum: 256, description: 'Of one inference' }),
  runtime: Type.Union([Type.Literal('auto'), RuntimeName]),
  logLevel: Type.Enum(['trace', 'debug', 'info', 'warn', 'error']),
  minFreeMemoryBytes: Type.Integer({ minimum: 0, description: 'Work is refused below this much free memory' }),
  maxTemperatureC: Type.Number({ minimum: 0, maximum: 200, description: 'Work is refused from here on' }),
  minBatteryPercent: Type.Number({
    minimum: 0,
    maximum: 100,
    description: 'Work is refused below this while the battery discharges'
  })
}

/** What an operator set for a device; what is absent is the device's own business. */
export const DeviceConfig = Type.Partial(Type.Object(settings), { additionalProperties: false })
export type DeviceConfig = Static<typeof DeviceConfig>
export type DeviceSetting = keyof DeviceConfig

const orNull = <T extends Parameters<typeof Type.Union>[0][number]>(type: T) => Type.Union([type, Type.Null()])

/** Merged into what was set before (RFC 7396): null takes a setting back. */
export const DeviceConfigPatch = Type.Partial(
  Type.Object({
    slots: orNull(settings.slots),
    threads: orNull(settings.threads),
    runtime: orNull(settings.runtime),
    logLevel: orNull(settings.logLevel),
    minFreeMemoryBytes: orNull(settings.minFreeMemoryBytes),
    maxTemperatureC: orNull(settings.maxTemperatureC),
    minBatteryPercent: orNull(settings.minBatteryPercent)
  }),
  { additionalProperties: false, minProperties: 1 }
)
export type DeviceConfigPatch = Static<typeof DeviceConfigPatch>

/** What an agent made of one revision: what it runs with now, and what it did not take over. */
export const ConfigReport = Type.Object({
  revision: Type.Integer({ minimum: 0 }),
  applied: Type.Object({
    slots: Type.Integer({ minimum: 0 }),
    threads: Type.Integer(),
    runtime: Type.Union([Type.Literal('auto'), RuntimeName]),
    runtimes: Type.Array(RuntimeInfo, { description: 'Those that start there, in order of preference' }),
    logLevel: Type.String({ maxLength: 16 }),
    minFreeMemoryBytes: Type.Integer(),
    maxTemperatureC: Type.Number(),
    minBatteryPercent: Type.Number()
  }),
  refused: Type.Array(
    Type.Object({ setting: Type.String({ maxLength: 64 }), reason: Type.String({ maxLength: 2000 }) }),
    { maxItems: 32 }
  )
})
export type ConfigReport = Static<typeof ConfigReport>

export const DeviceConfigState = Type.Object({
  revision: Type.Integer({ description: 'Grows with each change; 0 while nothing was ever set' }),
  wanted: DeviceConfig,
  understood: Type.Boolean({ description: 'False for an agent that is too old to be configured from here' }),
  report: Type.Union([Type.Object({ ...ConfigReport.properties, at: Timestamp }), Type.Null()], {
    description: 'The last answer of the device; it is about `wanted` when it has the same revision'
  })
})
export type DeviceConfigState = Static<typeof DeviceConfigState>
