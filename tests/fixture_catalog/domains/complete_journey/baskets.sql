-- One row per basket: what one household bought at one till at one moment.
WITH
  lines AS (
    SELECT
      transactions.*,
      products.department,
      products.brand = 'Private' AS is_private_label,
      -- Fuel is sold by the thousandth of a gallon, so its quantity is no count of things.
      coalesce(products.product_type LIKE 'GASOLINE%', FALSE) AS is_fuel
    FROM transactions
    -- Some lines name a product that the product list has lost; their money counts all the same.
    LEFT JOIN products ON products.product_id = transactions.product_id
  )
SELECT
  basket_id,
  day,
  household_id,
  store_id,
  max(transaction_timestamp) AS purchased_at,
  CAST(count(product_id) AS INTEGER) AS lines,
  CAST(coalesce(sum(quantity) FILTER (WHERE NOT is_fuel), 0) AS BIGINT) AS items,
  CAST(count(DISTINCT department) AS INTEGER) AS departments,
  round(sum(sales_value), 2) AS spend,
  round(sum(retail_disc), 2) AS retail_discount,
  round(sum(coupon_disc), 2) AS coupon_discount,
  round(sum(coupon_match_disc), 2) AS coupon_match_discount,
  round(sum(CASE WHEN is_private_label THEN sales_value ELSE 0 END), 2) AS private_label_spend,
  round(sum(CASE WHEN is_fuel THEN sales_value ELSE 0 END), 2) AS fuel_spend,
  round(sum(CASE WHEN department = 'GROCERY' THEN sales_value ELSE 0 END), 2) AS grocery_spend,
  round(sum(CASE WHEN department = 'DRUG GM' THEN sales_value ELSE 0 END), 2) AS drugstore_spend,
  round(sum(CASE WHEN department = 'PRODUCE' THEN sales_value ELSE 0 END), 2) AS produce_spend,
  round(sum(CASE WHEN department IN ('MEAT', 'MEAT-PCKGD') THEN sales_value ELSE 0 END), 2) AS meat_spend,
  round(sum(CASE WHEN department IN ('DELI', 'SALAD BAR', 'CHEF SHOPPE') THEN sales_value ELSE 0 END), 2) AS deli_spend
FROM lines
GROUP BY basket_id, day, household_id, store_id
