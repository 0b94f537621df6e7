/*
 * Which operators a runtime has, as data: whoever decides what may run where imports this and starts no runtime.
 */
import type { OperatorUse } from '@skerry/tflite'
import { operatorVersions } from './operator-versions.ts'
import type { RuntimeName } from './runtime.ts'

export type MissingOperator = {
  name: string
  /** The version that the model uses. */
  version: number
  /** The highest version that the runtime has; null when it has none. */
  supportedVersion: number | null
}

/** The key of a custom operator, whose names are the model makers' own and may equal a builtin's. */
function customKey(name: string): string {
  return `custom:${name}`
}

const supported: Readonly<Record<RuntimeName, ReadonlyMap<string, number>>> = {
  litert: collect('litert'),
  'tfjs-tflite': collect('tfjs-tflite'),
  'tfjs-tflite-node': collect('tfjs-tflite-node')
}

function collect(runtime: RuntimeName): ReadonlyMap<string, number> {
  const { builtins, custom } = operatorVersions[runtime]
  return new Map([
    ...Object.entries(builtins).map(([name, [, last]]) => [name, last] as const),
    ...custom.map((name) => [customKey(name), 1] as const)
  ])
}

/** The runtime's version that the table was taken from. */
export function probedVersion(runtime: RuntimeName): string {
  return operatorVersions[runtime].version
}

/** Highest version by builtin name; custom operators as `custom:NAME`, at version 1. */
export function supportedOperators(runtime: RuntimeName): ReadonlyMap<string, number> {
  return supported[runtime]
}

/** The operators of a model, as `readTflite` lists them, that the runtime does not have at the version in use. */
export function missingOperators(runtime: RuntimeName, operators: readonly OperatorUse[]): MissingOperator[] {
  return operators.flatMap(({ name, version, custom }) => {
    const last = supported[runtime].get(custom ? customKey(name) : name)
    const known = last !== undefined && version <= last && (custom || version >= firstVersion(runtime, name))
    return known ? [] : [{ name, version, supportedVersion: last ?? null }]
  })
}

function firstVersion(runtime: RuntimeName, name: string): number {
  return operatorVersions[runtime].builtins[name]?.[0] ?? 1
}

/**
 * For example: tfjs-tflite 0.0.1-alpha.10 has no FULLY_CONNECTED version 12 (it knows up to 9). Empty for an empty list.
 * `version` is the version to name, by default the one that the table was taken from.
 */
export function describeMissing(
  runtime: RuntimeName,
  missing: readonly MissingOperator[],
  version: string = probedVersion(runtime)
): string {
  if (missing.length === 0) return ''
  const words = missing.map((operator) => {
    if (operator.supportedVersion === null) return operator.name
    const first = firstVersion(runtime, operator.name)
    const range = operator.version < first ? `it knows ${first} to` : 'it knows up to'
    return `${operator.name} version ${operator.version} (${range} ${operator.supportedVersion})`
  })
  return `${runtime} ${version} has no ${words.join(', no ')}`
}
