/*
 * Asks a live runtime whether it has an operator at a version, by giving it the smallest model that names it.
 */
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { encodeModel, ints, list, type Node, text } from './model-encoder.ts'
import type { TfliteRuntime } from './runtime.ts'
import { RuntimeError } from './runtime-error.ts'

export type ProbedOperator = { builtinCode: number; version: number } | { customCode: string; version: number }

/** Whether the runtime knows the operator. `folder` takes a file of some hundred bytes. */
export async function hasOperator(runtime: TfliteRuntime, folder: string, operator: ProbedOperator): Promise<boolean> {
  const file = path.join(folder, 'probe.tflite')
  await writeFile(file, probeModel(operator))
  try {
    await runtime.load('probe', file)
    await runtime.unload('probe')
    return true
  } catch (error) {
    if (!(error instanceof RuntimeError) || error.code !== 'model-refused') throw error
    if (unknownOperator.test(error.message)) return false
    // A custom operator that is there, but finds nothing in this model that it could work on, is known all the same.
    if ('customCode' in operator && error.message.includes('failed to prepare')) return true
    throw error
  }
}

// What runtimes say of a builtin, of a builtin newer than their schema, of a custom operator, and of a Flex operator.
const unknownOperator =
  /Didn't find op for builtin opcode|builtin_code out of range|unresolved custom op|Select TensorFlow op/

const customBuiltinCode = 32
const reluCode = 19

/**
 * A model of one RELU and, if the probed operator is a custom one, that one behind it. A builtin is only declared:
 * runtimes resolve every declared builtin, but custom operators only where they are used.
 */
export function probeModel(operator: ProbedOperator): Uint8Array {
  const custom = 'customCode' in operator
  const tensor = (name: string): Node => ({ table: [ints([1]), { int8: 0 }, { int32: 0 }, text(name)] })
  const use = (code: number, input: number, output: number): Node => ({
    table: [{ int32: code }, ints([input]), ints([output])]
  })
  const last = custom ? 2 : 1
  const subgraph: Node = {
    table: [
      list(['x', 'y', 'z'].slice(0, last + 1).map(tensor)),
      ints([0]),
      ints([last]),
      list(custom ? [use(0, 0, 1), use(1, 1, 2)] : [use(0, 0, 1)])
    ]
  }
  const codes = [operatorCode(reluCode, 1, undefined)]
  if (custom) codes.push(operatorCode(customBuiltinCode, operator.version, operator.customCode))
  else codes.push(operatorCode(operator.builtinCode, operator.version, undefined))
  return encodeModel({
    table: [{ int32: 3 }, list(codes), list([subgraph]), text('probe'), list([{ table: [] }])]
  })
}

function operatorCode(code: number, version: number, custom: string | undefined): Node {
  const name = custom === undefined ? undefined : text(custom)
  return { table: [{ int8: Math.min(code, 127) }, name, { int32: version }, { int32: code }] }
}
