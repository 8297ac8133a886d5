use super::super::html::Html;
use super::frame::View;
use crate::store::VIEWS;

/// An answer by SQL, as far as a page shows it.
#[derive(Debug, Default)]
pub(in super::super) struct SqlTable {
    pub(in super::super) columns: Vec<String>,
    /// What is `None` is NULL.
    pub(in super::super) rows: Vec<Vec<Option<String>>>,
    /// There are more than a page shows.
    pub(in super::super) is_cut: bool,
}

/// The page that asks the index by a statement; that one was asked is on record by now.
pub(in super::super) fn sql_page(view: &View<'_>, statement: &str, answer: Option<Result<SqlTable, String>>) -> Html {
    let mut page = view.begin(("SQL", "SQL"));
    page.markup("<h1>SQL</h1><form method=\"post\" action=\"/sql\">");
    view.token(&mut page);
    page.markup("<label for=\"statement\">");
    page.words(("One statement that reads; it goes on record", "読み取りの文を1つ（記録されます）"));
    page.markup("</label><textarea id=\"statement\" name=\"statement\" required spellcheck=\"false\">")
        .lines(statement);
    page.markup("</textarea><p><button>").words(("Ask", "実行")).markup("</button></p></form>");
    match answer {
        None => {}
        Some(Err(fault)) => {
            page.markup("<pre class=\"bad\" role=\"alert\">").lines(&fault).markup("</pre>");
        }
        Some(Ok(table)) => rows(&mut page, &table),
    }
    page.markup("<section><h2>").words(("What can be asked", "使える表")).markup("</h2>");
    for known in VIEWS {
        page.markup("<details><summary><code>")
            .text(known.name)
            .markup("</code> <span lang=\"en\">")
            .text(known.meaning);
        page.markup("</span></summary><dl lang=\"en\">");
        for (column, meaning) in known.columns {
            page.markup("<div><dt><code>").text(column).markup("</code></dt><dd>").text(meaning).markup("</dd></div>");
        }
        page.markup("</dl></details>");
    }
    page.markup("</section>");
    view.end(page)
}

fn rows(page: &mut Html, table: &SqlTable) {
    page.markup("<div class=\"wide\" role=\"region\" tabindex=\"0\" aria-label=\"").words(("Answer", "結果"));
    page.markup("\"><table><thead><tr>");
    for column in &table.columns {
        page.markup("<th scope=\"col\">").said(column).markup("</th>");
    }
    page.markup("</tr></thead><tbody>");
    for row in &table.rows {
        page.markup("<tr>");
        for cell in row {
            match cell {
                Some(text) => page.markup("<td>").said(text).markup("</td>"),
                None => page.markup("<td class=\"muted\">NULL</td>"),
            };
        }
        page.markup("</tr>");
    }
    page.markup("</tbody></table></div><p class=\"muted\">")
        .words(("Rows: ", "行数："))
        .number(table.rows.len() as u64);
    if table.is_cut {
        page.words((", and more that are not shown", "（これより先は省略）"));
    }
    page.markup("</p>");
}
