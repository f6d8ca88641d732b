// Reads a table in the order of its ids, a page at a time, so that its size does not matter.
import { FIRST_ID } from '../store/ids.ts'

/** Yields pages until one is empty. `read` reads the page of the rows that follow an id. */
export async function* pagesById<Row extends { readonly id: string }>(
  read: (after: string) => Promise<Row[]>,
): AsyncGenerator<Row[]> {
  let page = await read(FIRST_ID)
  for (let last = page.at(-1); last !== undefined; last = page.at(-1)) {
    yield page
    page = await read(last.id)
  }
}
