"""What an ensemble looks like: counts, landscapes, first losses and programs, as one page.

For people who want to see what an optimizer will be trained on before hours are spent on it.
`beginnings` measures, `landscapes` evaluates the problems in the plane, `tables` counts, `pictures`
draws, and `page` puts all of it into one HTML file.

**Example**

```python
groups = ensemble.groups(to_be_drawn=True)
beginnings = [one for part in measure(ensemble.rows, groups, key) for one in part]
check_usable(beginnings)
rows = in_the_plane(beginnings)
pictures = draw_pictures(beginnings, survey(rows, Ensemble(rows).groups(), key))
page = ensemble_page(Facts("quick", ensemble.digest, seed), beginnings, pictures)
```
"""

from lopt.ensemble_report.beginnings import (
    STARTS,
    Beginnings,
    beginnings_table,
    check_usable,
    measure,
)
from lopt.ensemble_report.landscapes import Landscape, in_the_plane, survey
from lopt.ensemble_report.page import Facts, ensemble_page
from lopt.ensemble_report.pictures import Picture, draw_pictures
from lopt.ensemble_report.tables import category_table, entry_table, program_table, set_table

__all__ = [
    "STARTS",
    "Beginnings",
    "Facts",
    "Landscape",
    "Picture",
    "beginnings_table",
    "category_table",
    "check_usable",
    "draw_pictures",
    "ensemble_page",
    "entry_table",
    "in_the_plane",
    "measure",
    "program_table",
    "set_table",
    "survey",
]
