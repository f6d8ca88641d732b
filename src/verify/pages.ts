// Reads a table in the order of its ids, a page at a time, so that its size does not matter.

/** Before the id of every row. */
const NIL_ID = '00000000-0000-0000-0000-000000000000'

/** Yields pages until one is empty. `read` reads the page of the rows that follow an id. */
export async function* pagesById<Row extends { readonly id: string }>(
  read: (after: string) => Promise<Row[]>,
): AsyncGenerator<Row[]> {
  let page = await read(NIL_ID)
  for (let last = page.at(-1); last !== undefined; last = page.at(-1)) {
    yield page
    page = await read(last.id)
  }
}
