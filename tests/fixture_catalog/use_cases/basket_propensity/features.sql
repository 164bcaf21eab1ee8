-- One row per household that shopped on the day: its last basket, described by what a shop knows of anyone's basket.
-- Nothing of the household's past is here: this is for those of whom there is no past.
WITH
  ordered AS (
    SELECT *, row_number() OVER (PARTITION BY household_id ORDER BY purchased_at DESC, basket_id DESC) AS newest
    FROM baskets
  )
SELECT
  household_id,
  spend AS basket_value,
  items AS basket_items,
  departments AS basket_departments,
  CAST(extract(HOUR FROM purchased_at) AS INTEGER) AS hour,
  -- Counted from a Monday: what the engines call the first day of a week differs.
  CAST(date_diff('day', DATE '2001-01-01', day) % 7 + 1 AS INTEGER) AS weekday,
  -- A store's number is a name: nothing lies between 31 and 33.
  CAST(store_id AS VARCHAR) AS store
FROM ordered
WHERE newest = 1
