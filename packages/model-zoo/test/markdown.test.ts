import { describe, expect, it } from 'vitest'
import { markdownTable, placeSection, sectionOf } from '../src/markdown.ts'

describe('a table in a document', () => {
  it('has columns as wide as their widest cell', () => {
    expect(markdownTable(['a', 'long title'], [['longer', 'x']])).toBe(
      ['| a      | long title |', '| ------ | ---------- |', '| longer | x          |'].join('\n')
    )
  })

  it('takes the place of what stood between its marks, and of nothing else', () => {
    const text = 'before\n<!-- one:begin -->\nold\n<!-- one:end -->\n<!-- two:begin -->\nother\n<!-- two:end -->\n'
    const placed = placeSection(text, 'one', 'new')
    expect(placed).toBe(text.replace('old', 'new'))
    expect([sectionOf(placed, 'one'), sectionOf(placed, 'two')]).toEqual(['new', 'other'])
    expect(() => placeSection(text, 'three', 'new')).toThrow(/no <!-- three:begin --> and <!-- three:end -->/)
  })
})
